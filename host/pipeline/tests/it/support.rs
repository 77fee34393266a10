//! A store that misbehaves, rulebooks, batches.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use paceline_pipeline::model::{Batch, BatchLimits, Checkpoint, DeadLetter, Item, Key};
use paceline_pipeline::rules::RulesEvent;
use paceline_pipeline::store::{
    CheckpointStore, DeadLetterStore, Expected, GroupStore, Horizon, MemoryStore, Notice, NoticeStore, Pin, PinKey,
    PinStore, StoreError, Write, WriteOutcome,
};
use paceline_pipeline::{Pipeline, PipelineError, ProcessOutcome, RetryPolicy, Rulebooks};
use paceline_testbed::rules;

/// A store that several hosts share, and that fails as one in the cloud does.
#[derive(Clone, Default)]
pub(crate) struct FlakyStore {
    pub(crate) store: Arc<MemoryStore>,
    /// Every nth call fails before it does anything, and every nth after it did all.
    pub(crate) transient_every: u32,
    pub(crate) calls: Arc<AtomicU32>,
    /// Called once, before the first write: another host is ahead.
    pub(crate) rival: Option<Arc<dyn Fn() + Send + Sync>>,
    pub(crate) came: Arc<AtomicBool>,
    /// Every write meets a conflict.
    pub(crate) contended: bool,
    /// Vetoes can't be stored.
    pub(crate) vetoes_are_down: Arc<AtomicBool>,
    /// Dead letters can't be stored.
    pub(crate) letters_are_down: Arc<AtomicBool>,
    /// The sort key of the groups whose writes are throttled.
    pub(crate) throttled: Option<&'static str>,
    /// How often it was flushed.
    pub(crate) flushed: Arc<AtomicU64>,
}

impl FlakyStore {
    /// Whether this call fails before its work, and whether after it.
    fn failure(&self) -> (bool, bool) {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let nth = self.transient_every > 0 && call.is_multiple_of(self.transient_every);
        (nth && call.is_multiple_of(2), nth && !call.is_multiple_of(2))
    }

    async fn call<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let transient = || StoreError::transient("throttled");
        let (before, after) = self.failure();
        if before {
            return Err(transient());
        }
        let done = work.await?;
        if after { Err(transient()) } else { Ok(done) }
    }
}

impl GroupStore for FlakyStore {
    async fn load_groups(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, StoreError> {
        self.call(self.store.load_groups(keys)).await
    }

    async fn write_groups(&self, writes: &[Write]) -> Result<Vec<WriteOutcome>, StoreError> {
        if self.contended {
            return Ok(vec![WriteOutcome::Conflict; writes.len()]);
        }
        if let Some(rival) = &self.rival
            && !self.came.swap(true, Ordering::Relaxed)
        {
            rival();
        }
        let is_throttled = |write: &Write| Some(write.key.sort.as_str()) == self.throttled;
        let accepted: Vec<Write> = writes.iter().filter(|write| !is_throttled(write)).cloned().collect();
        let mut outcomes = self.call(self.store.write_groups(&accepted)).await?.into_iter();
        let outcome = |write| match is_throttled(write) {
            true => WriteOutcome::Transient("throttled".to_owned()),
            false => outcomes.next().expect("one for each write"),
        };
        Ok(writes.iter().map(outcome).collect())
    }

    async fn list_partition(&self, partition: &str) -> Result<Vec<(Key, Item)>, StoreError> {
        self.call(self.store.list_partition(partition)).await
    }

    async fn list_groups(&self) -> Result<Vec<(Key, Item)>, StoreError> {
        self.store.list_groups().await
    }
}

impl PinStore for FlakyStore {
    async fn get_pins(&self, keys: &[PinKey]) -> Result<Vec<Option<Pin>>, StoreError> {
        self.call(self.store.get_pins(keys)).await
    }

    async fn put_pins(&self, pins: &[(PinKey, Pin)]) -> Result<Vec<Pin>, StoreError> {
        self.call(self.store.put_pins(pins)).await
    }

    async fn list_pins(&self, race_type: &str, limit: usize) -> Result<Vec<(PinKey, Pin)>, StoreError> {
        self.call(self.store.list_pins(race_type, limit)).await
    }
}

impl CheckpointStore for FlakyStore {
    async fn get_checkpoint(&self, shard: &str) -> Result<Option<Checkpoint>, StoreError> {
        self.call(self.store.get_checkpoint(shard)).await
    }

    async fn put_checkpoint(&self, shard: &str, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.call(self.store.put_checkpoint(shard, checkpoint)).await
    }

    async fn flush(&self) -> Result<(), StoreError> {
        self.flushed.fetch_add(1, Ordering::Relaxed);
        self.call(self.store.flush()).await
    }
}

impl DeadLetterStore for FlakyStore {
    async fn put_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        if self.letters_are_down.load(Ordering::Relaxed) {
            return Err(StoreError::transient("throttled"));
        }
        self.call(self.store.put_dead_letters(letters)).await
    }

    async fn delete_dead_letters(&self, ids: &[String]) -> Result<(), StoreError> {
        self.call(self.store.delete_dead_letters(ids)).await
    }

    async fn get_dead_letter(&self, id: &str) -> Result<Option<DeadLetter>, StoreError> {
        self.call(self.store.get_dead_letter(id)).await
    }

    async fn get_horizon(&self, shard: &str) -> Result<Option<Horizon>, StoreError> {
        self.call(self.store.get_horizon(shard)).await
    }

    async fn put_horizon(&self, shard: &str, horizon: &Horizon) -> Result<bool, StoreError> {
        self.call(self.store.put_horizon(shard, horizon)).await
    }

    async fn known_dead_letters(&self, ids: &[String]) -> Result<HashSet<String>, StoreError> {
        self.call(self.store.known_dead_letters(ids)).await
    }

    async fn scan_dead_letters(&self, each: impl FnMut(DeadLetter) + Send) -> Result<(), StoreError> {
        self.store.scan_dead_letters(each).await
    }

    async fn assign_redrive_sequences(&self, ids: &[String]) -> Result<Vec<DeadLetter>, StoreError> {
        self.call(self.store.assign_redrive_sequences(ids)).await
    }
}

impl NoticeStore for FlakyStore {
    async fn list_notices(&self, topic: &str) -> Result<Vec<Notice>, StoreError> {
        self.call(self.store.list_notices(topic)).await
    }

    async fn put_notice(&self, topic: &str, notice: &Notice, expected: Expected) -> Result<bool, StoreError> {
        if topic.starts_with("vetoes/") && self.vetoes_are_down.load(Ordering::Relaxed) {
            return Err(StoreError::transient("throttled"));
        }
        self.call(self.store.put_notice(topic, notice, expected)).await
    }
}

/// Rulebooks of class 3, with this dedup for a racer in a race.
///
/// Without a setting `deed` its aggregator does nothing wrong and counts rows: what is folded twice shows.
pub(crate) fn rulebooks(folder: &Path, dedup: &str) -> Arc<Rulebooks> {
    std::fs::create_dir_all(folder.join("rulebooks")).unwrap();
    std::fs::write(folder.join("rulebooks/class-3.toml"), rulebook(3, "race-{/raceId}", dedup)).unwrap();
    let (rulebooks, events) = open(folder);
    assert!(matches!(&events[..], [RulesEvent::Activated { revision: 1, .. }]), "{events:?}");
    rulebooks
}

/// Applies the folder `rulebooks` in this folder to a registry beside it, and follows it.
pub(crate) fn open(folder: &Path) -> (Arc<Rulebooks>, Vec<RulesEvent>) {
    rules::open(&folder.join("rulebooks"), &folder.join("registry"))
}

/// A rulebook of a race type whose groups have this partition key and this dedup.
pub(crate) fn rulebook(race_type: u32, partition: &str, dedup: &str) -> String {
    format!(
        r#"
name = "class-{race_type}"
version = 1
pin = "/raceId"
[[validate]]
plugin = "telemetry"
[score]
plugin = "output"
[[aggregate]]
plugin = "evil-aggregator"
key = {{ PK = "{partition}", SK = "racer-{{/racerId}}" }}
dedup = {dedup}
"#
    )
}

pub(crate) fn host(store: FlakyStore, rulebooks: &Arc<Rulebooks>) -> Pipeline<FlakyStore> {
    let retry = RetryPolicy { first_wait_ms: 1, longest_wait_ms: 2, ..RetryPolicy::default() };
    Pipeline::new(store, Arc::clone(rulebooks), BatchLimits::default(), retry)
}

/// A batch of one second of a race for these racers, and one broken message.
pub(crate) fn batch(shard: &str, second: u64, racers: std::ops::Range<u64>) -> Batch {
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

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// Processes a batch that must be committed as a whole.
pub(crate) fn committed(process: impl Future<Output = Result<ProcessOutcome, PipelineError>>) {
    assert!(block_on(process).unwrap().first_uncommitted.is_none());
}

/// Items without their revisions, which count writes; and dead letters.
pub(crate) fn outcome(store: &MemoryStore) -> (Vec<(Key, Item)>, Vec<DeadLetter>) {
    let items = block_on(store.list_groups()).unwrap();
    let items = items.into_iter().map(|(key, item)| (key, Item { revision: 0, ..item }));
    (items.collect(), block_on(store.list_dead_letters()).unwrap())
}
