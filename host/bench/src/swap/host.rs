//! A host as `paceline run` starts it, and what it notes of each batch.

use std::future::pending;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use paceline_engine::{Engine, Limits};
use paceline_pipeline::model::BatchLimits;
use paceline_pipeline::rules::Registry;
use paceline_pipeline::store::MemoryStore;
use paceline_pipeline::summary::Summary;
use paceline_pipeline::{Pipeline, RetryPolicy, Rulebooks, run};
use paceline_testbed::rules;
use tokio::sync::{oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::races::Batches;
use crate::timing::median;

/// What the operator sees of the race.
#[derive(Clone, Copy, Default)]
pub(crate) struct Seen {
    pub(crate) batches: u64,
    /// Rulebooks by which records were evaluated.
    pub(crate) rulebooks: usize,
}

/// The operator's view of the race.
pub(crate) struct Watch(watch::Receiver<Seen>);

impl Watch {
    /// Waits for a moment of the race. Returns false if the race ends before.
    pub(crate) fn wait_for(&mut self, holds: impl Fn(&Seen) -> bool) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("the runtime starts");
        runtime.block_on(self.0.wait_for(holds)).is_ok()
    }
}

/// The batches of a race.
pub(crate) struct Race {
    records: u64,
    seconds: f64,
    /// The end of each batch.
    ends: Vec<Instant>,
    /// The time around each batch, in milliseconds: from the end of the batch before to its own end, without the time of
    /// its stages and of the wait for it.
    around_ms: Vec<f64>,
    /// The batches that were the first of a rulebook, without the first of all.
    firsts: Vec<usize>,
}

impl Race {
    /// Runs a race. `operate` runs beside it, on a thread of its own; the race ends with the source or when that returns.
    pub(crate) fn run<T: Send>(
        registry: &Path,
        source: Batches,
        poll: Duration,
        operate: impl FnOnce(&mut Watch) -> T + Send,
    ) -> (Self, T) {
        let pipeline = pipeline(registry);
        // As in `paceline run`: the stream on the main thread, and one worker beside it.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("the runtime starts");
        let (sender, receiver) = watch::channel(Seen::default());
        let (ended, end) = oneshot::channel();
        std::thread::scope(|scope| {
            let operator = scope.spawn(move || {
                let outcome = operate(&mut Watch(receiver));
                let _ = ended.send(());
                outcome
            });
            let race = runtime.block_on(race(&pipeline, source, poll, (sender, end)));
            (race, operator.join().expect("the operator does not panic"))
        })
    }

    /// Records in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.records as f64 / self.seconds
    }

    pub(crate) fn swaps(&self) -> usize {
        self.firsts.len()
    }

    /// When the first batch of each swap was committed.
    pub(crate) fn first_batches(&self) -> impl ExactSizeIterator<Item = Instant> {
        self.firsts.iter().map(|first| self.ends[*first])
    }

    /// The time from the end of the last stage of the last batch before each swap to the start of the first stage of the
    /// batch after it, beyond the median of all batches.
    ///
    /// What a batch frees after its last stage is in the time around it. So is what the next one does before its first
    /// stage in the time around that.
    pub(crate) fn pauses_ms(&self) -> Vec<f64> {
        self.pauses_before(self.firsts.iter().copied())
    }

    /// The same time at every other boundary of the race.
    pub(crate) fn ordinary_pauses_ms(&self) -> Vec<f64> {
        self.pauses_before((1..self.ends.len()).filter(|at| !self.firsts.contains(at)))
    }

    fn pauses_before(&self, batches: impl Iterator<Item = usize>) -> Vec<f64> {
        let ordinary = median(&mut self.around_ms.clone());
        batches.map(|at| self.around_ms[at - 1] + self.around_ms[at] - 2.0 * ordinary).collect()
    }

    /// The time of the first batch after each swap, all included, beyond the median of all batches.
    pub(crate) fn first_batches_ms(&self) -> Vec<f64> {
        let took = |at: usize| (self.ends[at] - self.ends[at - 1]).as_secs_f64() * 1e3;
        let ordinary = median(&mut (1..self.ends.len()).map(took).collect::<Vec<_>>());
        self.firsts.iter().map(|first| took(*first) - ordinary).collect()
    }
}

/// A pipeline that follows a registry, without a cache of compiled plugins.
fn pipeline(registry: &Path) -> Pipeline<MemoryStore> {
    let engine = Engine::new(Limits::default()).expect("the sandbox starts");
    let registry = Registry::create_folder(registry).expect("the folder can be read");
    let rulebooks = Arc::new(Rulebooks::new(engine, registry, rules::route()));
    Pipeline::new(MemoryStore::default(), rulebooks, BatchLimits::default(), RetryPolicy::default())
}

async fn race(
    pipeline: &Pipeline<MemoryStore>,
    source: Batches,
    poll: Duration,
    (watched, end): (watch::Sender<Seen>, oneshot::Receiver<()>),
) -> Race {
    let rulebooks = Arc::clone(pipeline.rulebooks());
    rulebooks.poll().await.expect("the registry can be read");
    let follower = tokio::spawn(async move {
        let mut ticks = interval(poll);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            rulebooks.poll().await.expect("the registry can be read");
        }
    });
    let started = Instant::now();
    let mut race = Race { records: 0, seconds: 0.0, ends: Vec::new(), around_ms: Vec::new(), firsts: Vec::new() };
    let (mut before, mut staged, mut seen) = (started, Duration::ZERO, Seen::default());
    let note = |_: &_, summary: &Summary| {
        let (now, stages) = (Instant::now(), summary.time.iter().sum::<Duration>());
        race.around_ms.push(((now - before).as_secs_f64() - (stages - staged).as_secs_f64()) * 1e3);
        (before, staged) = (now, stages);
        race.ends.push(now);
        let rulebooks = summary.rows.len();
        if rulebooks > seen.rulebooks && seen.rulebooks > 0 {
            race.firsts.push(race.ends.len() - 1);
        }
        seen = Seen { batches: summary.batches, rulebooks };
        // The operator may be done.
        let _ = watched.send(seen);
    };
    let stop = async {
        if end.await.is_err() {
            pending::<()>().await;
        }
    };
    let summary = run::run(source, pipeline, BatchLimits::default(), stop, note).await.expect("the race is processed");
    follower.abort();
    assert_eq!(summary.dead_letter_count(), 0);
    assert_eq!(summary.duplicates, 0);
    Race { records: summary.records, seconds: started.elapsed().as_secs_f64(), ..race }
}
