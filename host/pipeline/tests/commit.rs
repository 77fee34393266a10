//! Hosts that meddle with each other and a store that is busy: every group comes to what one host alone would make of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use paceline_engine::{Engine, Limits};
use paceline_pipeline::batch::{Batch, BatchLimits, Checkpoint};
use paceline_pipeline::dead_letter::DeadLetter;
use paceline_pipeline::pointer::Pointer;
use paceline_pipeline::registry::{Event, Registry, Watch};
use paceline_pipeline::store::{Item, Key, MemoryStore, Pin, PinKey, StoreError, Write, Written};
use paceline_pipeline::summary::Summary;
use paceline_pipeline::{Pipeline, PipelineError, Retry, Rulebooks, Store};

/// A store that several hosts share, and that misbehaves as one in the cloud does.
#[derive(Clone, Default)]
struct Shared {
    store: Arc<MemoryStore>,
    /// Every nth call fails before it does anything, and every nth after it did all.
    busy_every: u32,
    calls: Arc<AtomicU32>,
    /// Done, once, before the first write: another host is ahead.
    rival: Option<Arc<dyn Fn() + Send + Sync>>,
    came: Arc<AtomicBool>,
    /// Every write meets a conflict.
    contended: bool,
}

impl Shared {
    /// Whether this call fails before its work, and whether after it.
    fn mood(&self) -> (bool, bool) {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let nth = self.busy_every > 0 && call.is_multiple_of(self.busy_every);
        (nth && call.is_multiple_of(2), nth && !call.is_multiple_of(2))
    }

    async fn call<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let busy = || StoreError::Busy("throttled".to_owned());
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

    async fn write(&self, writes: &[Write]) -> Result<Vec<Written>, StoreError> {
        if self.contended {
            return Ok(vec![Written::Conflict; writes.len()]);
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

    async fn bury(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        self.call(self.store.bury(letters)).await
    }

    async fn exhume(&self, ids: &[String]) -> Result<(), StoreError> {
        self.call(self.store.exhume(ids)).await
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

    async fn ticket(&self, ids: &[String]) -> Result<Vec<DeadLetter>, StoreError> {
        self.call(self.store.ticket(ids)).await
    }
}

/// Rulebooks of class 3, with this fence for a racer in a race.
fn rulebooks(folder: &Path, fence: &str) -> Arc<Rulebooks> {
    let plugins = std::env::var_os("PACELINE_PLUGINS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins"), std::path::PathBuf::from);
    let names = ["telemetry", "output", "last-output"];
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
plugin = "last-output"
key = {{ PK = "race-{{/raceId}}", SK = "racer-{{/racerId}}" }}
fence = {fence}
"#
    );
    std::fs::write(folder.join("rulebooks/class-3.toml"), book).unwrap();
    let engine = Engine::new(Limits::default()).unwrap();
    let registry = Registry::open(&folder.join("registry")).unwrap();
    let rulebooks = Arc::new(Rulebooks::new(engine, registry, Pointer::parse("/classId").unwrap()));
    let events = Watch::new(folder.join("rulebooks"), files, Arc::clone(&rulebooks)).look().unwrap();
    assert_eq!(events, [Event::Activated { race_type: "3".to_owned(), version: 1 }]);
    rulebooks
}

fn host(store: Shared, rulebooks: &Arc<Rulebooks>) -> Pipeline<Shared> {
    let retry = Retry { first_wait_ms: 1, longest_wait_ms: 2, ..Retry::default() };
    Pipeline::new(store, Arc::clone(rulebooks), BatchLimits::default(), retry)
}

/// A batch of one second of a race for these racers, and one broken message.
fn batch(shard: &str, second: u64, racers: std::ops::Range<u64>) -> Batch {
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

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// Items without their revisions, which count writes; and dead letters.
fn outcome(store: &MemoryStore) -> (Vec<(Key, Item)>, Vec<DeadLetter>) {
    let items = block_on(store.items()).unwrap();
    let items = items.into_iter().map(|(key, item)| (key, Item { revision: 0, ..item }));
    (items.collect(), block_on(store.dead_letters()).unwrap())
}

/// What one host alone makes of these batches.
fn alone(batches: &[Batch], rulebooks: &Arc<Rulebooks>) -> (Vec<(Key, Item)>, Vec<DeadLetter>) {
    let store = Shared::default();
    let host = host(store.clone(), rulebooks);
    let mut summary = Summary::default();
    for batch in batches {
        block_on(host.process(batch, &mut summary)).unwrap();
    }
    assert_eq!((summary.conflicts, summary.behind), (0, 0));
    outcome(&store.store)
}

#[test]
fn a_busy_store_is_tried_again_and_nothing_counts_twice() {
    let folder = tempfile::tempdir().unwrap();
    for fence in [r#""sequence""#, r#"{ ordinal = "/second" }"#] {
        let folder = folder.path().join(fence.len().to_string());
        let rulebooks = rulebooks(&folder, fence);
        let batches: Vec<_> = (1..=20).map(|second| batch("shard", second, 0..30)).collect();
        for busy_every in [2, 3, 5] {
            let store = Shared { busy_every, ..Shared::default() };
            let host = host(store.clone(), &rulebooks);
            let mut summary = Summary::default();
            for batch in &batches {
                block_on(host.process(batch, &mut summary)).unwrap();
            }
            assert_eq!(outcome(&store.store), alone(&batches, &rulebooks), "{fence}, every {busy_every}th call");
        }
    }
}

#[test]
fn a_rival_that_is_ahead_costs_a_conflict_and_no_record() {
    let folder = tempfile::tempdir().unwrap();
    let rulebooks = rulebooks(folder.path(), r#""sequence""#);
    // The rival has read another shard of the same race: some of the groups are the same.
    let (ours, theirs) = (batch("shard-1", 1, 0..30), batch("shard-2", 2, 20..50));
    let shared = Shared::default();
    let rival = host(shared.clone(), &rulebooks);
    let their_batch = theirs.clone();
    let meddle = move || {
        let rival = &rival;
        std::thread::scope(|scope| {
            scope.spawn(|| block_on(rival.process(&their_batch, &mut Summary::default())).unwrap());
        });
    };
    let store = Shared { rival: Some(Arc::new(meddle)), ..shared.clone() };
    let mut summary = Summary::default();
    block_on(host(store, &rulebooks).process(&ours, &mut summary)).unwrap();
    assert_eq!((summary.conflicts, summary.groups, summary.behind), (10, 30, 0));
    let (items, letters) = outcome(&shared.store);
    assert_eq!((items, letters.len()), (alone(&[ours, theirs], &rulebooks).0, 2));
}

#[test]
fn a_rival_that_read_the_same_records_leaves_nothing_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for fence in [r#""sequence""#, r#"{ ordinal = "/second" }"#] {
        let rulebooks = rulebooks(&folder.path().join(fence.len().to_string()), fence);
        let shared = Shared::default();
        let rival = host(shared.clone(), &rulebooks);
        let same = batch("shard", 1, 0..30);
        let theirs = same.clone();
        let meddle = move || {
            let rival = &rival;
            std::thread::scope(|scope| {
                scope.spawn(|| block_on(rival.process(&theirs, &mut Summary::default())).unwrap());
            });
        };
        let store = Shared { rival: Some(Arc::new(meddle)), ..shared.clone() };
        let mut summary = Summary::default();
        block_on(host(store, &rulebooks).process(&same, &mut summary)).unwrap();
        assert_eq!((summary.conflicts, summary.groups), (30, 0));
        assert_eq!(outcome(&shared.store), alone(&[same], &rulebooks));
    }
}

#[test]
fn endless_conflicts_end_in_an_error_that_names_a_group() {
    let folder = tempfile::tempdir().unwrap();
    let rulebooks = rulebooks(folder.path(), r#""sequence""#);
    let store = Shared { contended: true, ..Shared::default() };
    let error = block_on(host(store, &rulebooks).process(&batch("shard", 1, 7..8), &mut Summary::default()));
    let error = error.unwrap_err();
    assert!(matches!(error, PipelineError::Contended { groups: 1, attempts: 21, .. }), "{error:?}");
    assert!(error.to_string().contains("race-131 / racer-7"), "{error}");
}

#[test]
fn a_store_that_stays_busy_is_given_up_at_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let rulebooks = rulebooks(folder.path(), r#""sequence""#);
    let store = Shared { busy_every: 1, calls: Arc::new(AtomicU32::new(1)), ..Shared::default() };
    let retry = Retry { deadline_ms: 50, first_wait_ms: 1, longest_wait_ms: 2, ..Retry::default() };
    let host = Pipeline::new(store.clone(), rulebooks, BatchLimits::default(), retry);
    let error = block_on(host.process(&batch("shard", 1, 0..3), &mut Summary::default())).unwrap_err();
    assert!(error.to_string().contains("throttled; it stayed so for 50 ms (`retry.deadline-ms`)"), "{error}");
}
