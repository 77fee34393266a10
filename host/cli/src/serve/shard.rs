//! What a process of `paceline kcl` answers. It reads one shard.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use paceline_aws::kinesis::{ShardState, ShardStatus};
use paceline_config::AnyStore;
use paceline_pipeline::Pipeline;
use paceline_pipeline::summary::Summary;

use super::{Metrics, View, unreachable};

/// What the process has done of its shard, for those who ask.
#[derive(Debug, Default)]
pub(crate) struct ShardWork {
    /// Known once the daemon has named it.
    shard: OnceLock<(String, Metrics)>,
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    is_done: bool,
    records: u64,
    bytes: u64,
    store_waits: u64,
    /// The distance to the newest record of the shard, when records came last.
    behind: Duration,
    /// When the records that are not committed came.
    open_since: Option<Instant>,
}

impl ShardWork {
    /// The daemon has named the shard.
    pub(crate) fn begin(&self, shard: &str) {
        self.shard.get_or_init(|| (shard.to_owned(), Metrics::of_shard(shard)));
        self.lock().is_done = false;
    }

    /// Records have come.
    pub(crate) fn received(&self, records: usize, bytes: usize, behind_ms: Option<i64>) {
        let mut now = self.lock();
        now.records += records as u64;
        now.bytes += bytes as u64;
        now.behind = Duration::from_millis(behind_ms.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0));
        now.open_since = Some(Instant::now());
    }

    /// A batch waits for the store.
    pub(crate) fn waits(&self) {
        self.lock().store_waits += 1;
    }

    /// A batch is committed.
    pub(crate) fn finished(&self, summary: &Summary, took: Duration) {
        if let Some((shard, metrics)) = self.shard.get() {
            metrics.finished(shard, summary, took);
        }
    }

    /// All records that have come are committed.
    pub(crate) fn committed(&self) {
        self.lock().open_since = None;
    }

    /// The shard is read to its end, or another process has it.
    pub(crate) fn done(&self) {
        self.lock().is_done = true;
    }

    fn status(&self) -> ShardStatus {
        let now = self.lock();
        let open = now.open_since.map_or(Duration::ZERO, |since| since.elapsed());
        let (state, age) = match now.is_done {
            true => (ShardState::Done, Duration::ZERO),
            false => (ShardState::Reading, now.behind + open),
        };
        // Kinesis is the daemon's business.
        ShardStatus {
            state,
            records: now.records,
            bytes: now.bytes,
            throttles: 0,
            retries: 0,
            conflicts: 0,
            store_retries: now.store_waits,
            misrouted: 0,
            expired_hours: 0.0,
            iterator_age: age,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A process that reads one shard.
pub(crate) struct ShardView {
    work: Arc<ShardWork>,
    pipeline: Arc<Pipeline<AnyStore>>,
    stream: String,
}

impl ShardView {
    /// `stream` is the name of the stream in dedup state and dead letters.
    pub(crate) fn new(work: Arc<ShardWork>, pipeline: Arc<Pipeline<AnyStore>>, stream: String) -> Self {
        Self { work, pipeline, stream }
    }
}

impl View for ShardView {
    async fn metrics(&self) -> String {
        // Before it has a shard, the process has no series that differ from another's.
        let Some((shard, metrics)) = self.work.shard.get() else { return String::new() };
        metrics.shard(shard, &self.work.status());
        metrics.render(&self.pipeline)
    }

    /// A process that answers is alive: whether it has something to do is up to the daemon.
    async fn not_alive(&self) -> Option<String> {
        None
    }

    async fn not_ready(&self) -> Option<String> {
        let Some((shard, _)) = self.work.shard.get() else {
            return Some("the daemon has not named the shard yet".to_owned());
        };
        unreachable(&self.pipeline, &format!("{}/{shard}", self.stream)).await
    }
}
