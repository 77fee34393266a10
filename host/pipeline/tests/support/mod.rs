//! A store that misbehaves, rulebooks, batches: what the tests of this folder share.
#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(unreachable_pub, reason = "shared by test files that are crates of their own")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use paceline_engine::{Engine, Limits};
use paceline_pipeline::model::{Batch, BatchLimits, Checkpoint};
use paceline_pipeline::model::DeadLetter;
use paceline_pipeline::ProcessOutcome;
use paceline_pipeline::model::Pointer;
use paceline_pipeline::rules::{Registry, RulebookEvent, RulebookFolder};
use paceline_pipeline::model::{Item, Key};
use paceline_pipeline::store::{MemoryStore, Pin, PinKey, StoreError, Write, WriteOutcome};
use paceline_pipeline::{Pipeline, PipelineError, RetryPolicy, Rulebooks, Store};

/// A store that several hosts share, and that misbehaves as one in the cloud does.
#[derive(Clone, Default)]
pub struct Shared {
    pub store: Arc<MemoryStore>,
    /// Every nth call fails before it does anything, and every nth after it did all.
    pub busy_every: u32,
    pub calls: Arc<AtomicU32>,
    /// Done, once, before the first write: another host is ahead.
    pub rival: Option<Arc<dyn Fn() + Send + Sync>>,
    pub came: Arc<AtomicBool>,
    /// Every write meets a conflict.
    pub contended: bool,
}

impl Shared {
    /// Whether this call fails before its work, and whether after it.
    fn mood(&self) -> (bool, bool) {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let nth = self.busy_every > 0 && call.is_multiple_of(self.busy_every);
        (nth && call.is_multiple_of(2), nth && !call.is_multiple_of(2))
    }

    async fn call<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let busy = || StoreError::Transient("throttled".to_owned());
        let (before, after) = self.mood();
        if before {
            return Err(busy());
        }
        let done = work.await?;
        if after { Err(busy()) } else { Ok(done) }
    }
}

impl Store for Shared {
    async fn load(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, StoreError> {
        self.call(self.store.load(keys)).await
    }

    async fn write(&self, writes: &[Write]) -> Result<Vec<WriteOutcome>, StoreError> {
        if self.contended {
            return Ok(vec![WriteOutcome::Conflict; writes.len()]);
        }
        if let Some(rival) = &self.rival
            && !self.came.swap(true, Ordering::Relaxed)
        {
            rival();
        }
        self.call(self.store.write(writes)).await
    }

    async fn pin(&self, pins: &[(PinKey, Pin)]) -> Result<Vec<Pin>, StoreError> {
        self.call(self.store.pin(pins)).await
    }

    async fn pins(&self, keys: &[PinKey]) -> Result<Vec<Option<Pin>>, StoreError> {
        self.call(self.store.pins(keys)).await
    }

    async fn put_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        self.call(self.store.put_dead_letters(letters)).await
    }

    async fn delete_dead_letters(&self, ids: &[String]) -> Result<(), StoreError> {
        self.call(self.store.delete_dead_letters(ids)).await
    }

    async fn acknowledge(&self, checkpoint: Option<(&str, &Checkpoint)>) -> Result<(), StoreError> {
        self.call(self.store.acknowledge(checkpoint)).await
    }

    async fn checkpoint(&self, shard: &str) -> Result<Option<Checkpoint>, StoreError> {
        self.call(self.store.checkpoint(shard)).await
    }

    async fn partition(&self, partition: &str) -> Result<Vec<(Key, Item)>, StoreError> {
        self.call(self.store.partition(partition)).await
    }

    async fn items(&self) -> Result<Vec<(Key, Item)>, StoreError> {
        self.store.items().await
    }

    async fn dead_letter(&self, id: &str) -> Result<Option<DeadLetter>, StoreError> {
        self.call(self.store.dead_letter(id)).await
    }

    async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StoreError> {
        self.store.dead_letters().await
    }

    async fn redrive_sequence(&self, ids: &[String]) -> Result<Vec<DeadLetter>, StoreError> {
        self.call(self.store.redrive_sequence(ids)).await
    }
}

/// Rulebooks of class 3, with this fence for a racer in a race.
///
/// Its aggregator, which without a `deed` does nothing wrong, counts rows: what is folded twice shows.
pub fn rulebooks(folder: &Path, dedup: &str) -> Arc<Rulebooks> {
    let plugins = std::env::var_os("PACELINE_PLUGINS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins"), std::path::PathBuf::from);
    let names = ["telemetry", "output", "evil-aggregator"];
    let files: BTreeMap<_, _> =
        names.into_iter().map(|name| (name.to_owned(), plugins.join(format!("{name}.wasm")))).collect();
    assert!(files["output"].is_file(), "{} holds no plugins: `make plugins` builds them", plugins.display());
    std::fs::create_dir_all(folder.join("rulebooks")).unwrap();
    let book = format!(
        r#"
race-type = 3
version = 1
pin = "/raceId"
[[validate]]
plugin = "telemetry"
[score]
plugin = "output"
[[aggregate]]
plugin = "evil-aggregator"
key = {{ PK = "race-{{/raceId}}", SK = "racer-{{/racerId}}" }}
dedup = {dedup}
"#
    );
    std::fs::write(folder.join("rulebooks/class-3.toml"), book).unwrap();
    let engine = Engine::new(Limits::default()).unwrap();
    let registry = Registry::open(&folder.join("registry")).unwrap();
    let rulebooks = Arc::new(Rulebooks::new(engine, registry, Pointer::parse("/classId").unwrap()));
    let events = Watch::new(folder.join("rulebooks"), files, Arc::clone(&rulebooks)).poll().unwrap();
    assert_eq!(events, [Event::Activated { race_type: "3".to_owned(), version: 1 }]);
    rulebooks
}

pub fn host(store: Shared, rulebooks: &Arc<Rulebooks>) -> Pipeline<Shared> {
    let retry = RetryPolicy { first_wait_ms: 1, longest_wait_ms: 2, ..RetryPolicy::default() };
    Pipeline::new(store, Arc::clone(rulebooks), BatchLimits::default(), retry)
}

/// A batch of one second of a race for these racers, and one broken message.
pub fn batch(shard: &str, second: u64, racers: std::ops::Range<u64>) -> Batch {
    let mut batch = Batch::new(shard.into());
    for racer in racers {
        let message = format!(
            r#"{{"event":"update","deviceTimestamp":{second}000,"second":{second},"raceId":131,"racerId":{racer},"classId":3,"cadence":{},"resistance":{}}}"#,
            30 + (racer + second) % 60,
            33 + (racer * second) % 53
        );
        batch.push(message.as_bytes(), (second * 1_000 + racer).into());
    }
    batch.push(b"broken", (second * 1_000 + 999).into());
    batch
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// Waits for a batch all of which must be safe.
pub fn safe(process: impl Future<Output = Result<Done, PipelineError>>) {
    assert!(block_on(process).unwrap().first_uncommitted.is_none());
}

/// Items without their revisions, which count writes; and dead letters.
pub fn outcome(store: &MemoryStore) -> (Vec<(Key, Item)>, Vec<DeadLetter>) {
    let items = block_on(store.items()).unwrap();
    let items = items.into_iter().map(|(key, item)| (key, Item { revision: 0, ..item }));
    (items.collect(), block_on(store.dead_letters()).unwrap())
}
