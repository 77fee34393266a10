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
    /// The batch that could not be committed so far.
    waiting: Option<Waiting>,
}

/// A batch that is processed again and again.
#[derive(Debug)]
struct Waiting {
    since: Instant,
    /// Why it was not committed the last time.
    why: String,
}

impl ShardWork {
    /// The daemon has named the shard.
    pub(crate) fn begin(&self, shard: &str) {
        self.shard.get_or_init(|| (shard.to_owned(), Metrics::of_shard(shard)));
        let mut now = self.lock();
        now.is_done = false;
        now.waiting = None;
    }

    /// Records have come.
    pub(crate) fn received(&self, records: usize, bytes: usize, behind_ms: Option<i64>) {
        let mut now = self.lock();
        now.records += records as u64;
        now.bytes += bytes as u64;
        now.behind = Duration::from_millis(behind_ms.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0));
        now.open_since = Some(Instant::now());
    }

    /// A batch could not be committed, and is processed again.
    pub(crate) fn waits(&self, why: String) {
        let mut now = self.lock();
        now.store_waits += 1;
        let since = now.waiting.take().map_or_else(Instant::now, |waiting| waiting.since);
        now.waiting = Some(Waiting { since, why });
    }

    /// A batch is committed.
    pub(crate) fn finished(&self, summary: &Summary, took: Duration) {
        self.lock().waiting = None;
        if let Some((shard, metrics)) = self.shard.get() {
            metrics.finished(shard, summary, took);
        }
    }

    /// All records that have come are committed.
    pub(crate) fn committed(&self) {
        let mut now = self.lock();
        now.open_since = None;
        now.waiting = None;
    }

    /// The shard is read to its end, or another process has it.
    pub(crate) fn done(&self) {
        self.lock().is_done = true;
    }

    fn status(&self) -> ShardStatus {
        let now = self.lock();
        let open = now.open_since.map_or(Duration::ZERO, |since| since.elapsed());
        let (state, age) = match (now.is_done, &now.waiting) {
            (true, _) => (ShardState::Done, Duration::ZERO),
            (false, Some(_)) => (ShardState::Failing, now.behind + open),
            (false, None) => (ShardState::Reading, now.behind + open),
        };
        ShardStatus {
            state,
            records: now.records,
            bytes: now.bytes,
            store_retries: now.store_waits,
            // The daemon reads the stream.
            reader: None,
            iterator_age: age,
        }
    }

    /// The batch that cannot be committed, since when, and why.
    fn trouble(&self, shard: &str) -> Option<String> {
        let now = self.lock();
        let Waiting { since, why } = now.waiting.as_ref().filter(|_| !now.is_done)?;
        Some(format!("the batch of {shard} has not been committed for {} s: {why}", since.elapsed().as_secs()))
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

    /// A process that answers is alive: whether it has something to do is up to the daemon. A batch that waits is no
    /// reason to start it anew: the batch would come again and wait for the same store or the same rulebook, and the
    /// daemon ends with all of its shards.
    async fn not_alive(&self) -> Option<String> {
        None
    }

    async fn not_ready(&self) -> Option<String> {
        let Some((shard, _)) = self.work.shard.get() else {
            return Some("the daemon has not named the shard yet".to_owned());
        };
        if let Some(trouble) = self.work.trouble(shard) {
            return Some(trouble);
        }
        unreachable(&self.pipeline, &format!("{}/{shard}", self.stream)).await
    }
}
