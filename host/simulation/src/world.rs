//! What all tasks of a run share: the plan, the store behind the hosts' stores, one source of randomness, the trace.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use paceline_pipeline::Clock;
use paceline_pipeline::model::SequenceNumber;
use paceline_pipeline::store::MemoryStore;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::backend::Backend;
use crate::dynamodb::Database;
use crate::fate::{Ending, Fate, Table};
use crate::finding::Finding;
use crate::plan::Plan;
use crate::plant::Plant;
use crate::stream::Stream;
use crate::time::beginning;
use crate::trace::Trace;

/// The longest that a slow call takes, in milliseconds: longer than a store is retried.
const SLOWEST_MS: u64 = 45_000;
/// The longest outage of a table, in milliseconds.
const LONGEST_OUTAGE_MS: u64 = 60_000;
/// The longest time for which a disk is full, in milliseconds.
const LONGEST_FULL_MS: u64 = 20_000;
/// How long after a subscription to a shard the next one is refused, in milliseconds.
const SUBSCRIPTION_MS: u64 = 5_000;
/// What a write on a full disk fails with.
pub(crate) const DISK_FULL: &str = "the store races.redb failed: No space left on device";

/// A table that answers nothing for some time, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Outage {
    table: Table,
    from: u64,
    to: u64,
}

/// What all tasks of a run share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) plant: Option<Plant>,
    pub(crate) stream: Stream,
    /// The store as it is, without faults.
    pub(crate) store: Backend,
    /// What of it outlives a death, if it is volatile.
    durable: Backend,
    /// The tables of DynamoDB, if the hosts' stores are there.
    pub(crate) database: Option<Arc<Database>>,
    began: Instant,
    outages: Vec<Outage>,
    /// When the disk is full: from and to, in milliseconds.
    full: Vec<(u64, u64)>,
    /// When the fan-out consumer is deregistered, in milliseconds.
    deregistered: Vec<u64>,
    state: Mutex<State>,
    has_finding: Notify,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    trace: Trace,
    is_calm: bool,
    is_delivered: bool,
    kills_left: u32,
    /// Up to where the records of each shard have been checked after their checkpoint.
    checked: BTreeMap<String, SequenceNumber>,
    /// By shard: the last subscription to it, and when it began.
    subscriptions: BTreeMap<String, (u64, u64)>,
    /// After how many deregistrations the fan-out consumer was registered.
    registered: Option<usize>,
    finding: Option<Finding>,
}

impl World {
    /// A world at its beginning. The clock has to be that of the run.
    pub(crate) fn new(plan: Plan, plant: Option<Plant>, keep_trace: bool) -> Self {
        let mut rng = Rng::with_seed(plan.seed ^ 0x77_6f72_6c64_0000);
        let outage = |rng: &mut Rng| {
            let tables = [Table::Groups, Table::Letters, Table::Host, Table::Registry, Table::Stream];
            let table = tables[rng.usize(0..if plan.mode == 3 { 5 } else { 4 })];
            let from = rng.u64(0..plan.calm_ms());
            Outage { table, from, to: from + rng.u64(1..=LONGEST_OUTAGE_MS) }
        };
        let outages = (0..plan.outages).map(|_| outage(&mut rng)).collect();
        let full = |rng: &mut Rng| {
            let from = rng.u64(0..plan.calm_ms());
            (from, from + rng.u64(1..=LONGEST_FULL_MS))
        };
        let full = (0..plan.disks).map(|_| full(&mut rng)).collect();
        let deregistered = (0..plan.deregistered).map(|_| rng.u64(0..plan.calm_ms())).collect();
        let stream = Stream::draw(&plan);
        let (trace, kills_left) = (Trace::new(keep_trace), plan.kills);
        let (checked, subscriptions) = (BTreeMap::new(), BTreeMap::new());
        let (is_calm, is_delivered, finding) = (false, false, None);
        let state =
            State { rng, trace, is_calm, is_delivered, kills_left, checked, subscriptions, registered: None, finding };
        let clock = Clock::set_to(beginning());
        let database = plan.has_sdk().then(Arc::<Database>::default);
        let store = match &database {
            Some(database) => Backend::outside(database, clock),
            None => Backend::Memory(Arc::new(MemoryStore::with_clock(clock))),
        };
        Self {
            plan,
            plant,
            stream,
            store,
            durable: Backend::Memory(Arc::default()),
            database,
            began: Instant::now(),
            outages,
            full,
            deregistered,
            state: Mutex::new(state),
            has_finding: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since the beginning.
    pub(crate) fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    pub(crate) fn is_planted(&self, plant: Plant) -> bool {
        self.plant == Some(plant)
    }

    /// A number below this one.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.state().rng.u64(0..end.max(1))
    }

    /// True in so many of a hundred cases; never once faults have ended.
    pub(crate) fn chance(&self, percent: u32) -> bool {
        let mut state = self.state();
        let drawn = state.rng.u32(0..100);
        drawn < percent && !state.is_calm
    }

    /// True in so many of a thousand writes; never once faults have ended.
    pub(crate) fn is_write_lost(&self) -> bool {
        let mut state = self.state();
        let drawn = state.rng.u32(0..1_000);
        drawn < self.plan.partial && !state.is_calm
    }

    /// Whether an event or a record in it is as an emulator makes it.
    pub(crate) fn oddly(&self) -> bool {
        self.plan.odd > 0 && self.below(100) < u64::from(self.plan.odd)
    }

    /// Whether nothing can be written.
    pub(crate) fn is_disk_full(&self) -> bool {
        let now = self.now_ms();
        !self.is_calm() && self.full.iter().any(|(from, to)| (*from..*to).contains(&now))
    }

    /// The clock of a host, which differs from the stream's.
    pub(crate) fn draw_clock(&self) -> Clock {
        let skew = u64::from(self.plan.skew) * 1_000;
        let ahead = Duration::from_millis(self.below(2 * skew + 1));
        Clock::Set { time: beginning() + ahead - Duration::from_millis(skew), at: self.began }
    }

    /// Everything that was written so far outlives a death.
    pub(crate) fn flush(&self) {
        if self.plan.is_volatile() {
            self.durable.copy_from(&self.store);
        }
    }

    /// A death takes with it what was written since the last flush, if the store is in the same process.
    pub(crate) fn lose_volatile(&self) {
        if self.plan.is_volatile() {
            self.store.copy_from(&self.durable);
        }
    }

    /// The records of a shard that a checkpoint acknowledges, without those that one before has. The end of the run shows
    /// what is lost later.
    pub(crate) fn newly_committed(&self, shard: &str, sequence: SequenceNumber) -> Vec<usize> {
        let mut state = self.state();
        let before = state.checked.get(shard).copied();
        if before.is_some_and(|before| before >= sequence) {
            return Vec::new();
        }
        state.checked.insert(shard.to_owned(), sequence);
        let mut committed = self.stream.up_to(shard, sequence);
        committed.retain(|&record| before.is_none_or(|before| self.stream.records[record].position.sequence > before));
        committed
    }

    /// A new subscription to a shard. `None` if the last one is new, too.
    pub(crate) fn subscribe(&self, shard: &str) -> Option<u64> {
        let now = self.now_ms();
        let subscriptions = &mut self.state().subscriptions;
        let (id, began) = subscriptions.get(shard).copied().unwrap_or_default();
        if id > 0 && now - began < SUBSCRIPTION_MS {
            return None;
        }
        subscriptions.insert(shard.to_owned(), (id + 1, now));
        Some(id + 1)
    }

    /// Whether this is still the last subscription to a shard.
    pub(crate) fn is_subscribed(&self, shard: &str, id: u64) -> bool {
        self.state().subscriptions.get(shard).is_some_and(|(last, _)| *last == id)
    }

    /// Whether the stream has the shards of after its resharding.
    pub(crate) fn is_resharded(&self) -> bool {
        self.stream.reshard_ms.is_some_and(|reshard_ms| reshard_ms <= self.now_ms())
    }

    /// Registers the fan-out consumer. False if it is registered.
    pub(crate) fn register(&self) -> bool {
        let nth = self.deregistrations();
        self.state().registered.replace(nth) != Some(nth)
    }

    /// Which of the consumers that were registered one after another is registered now.
    pub(crate) fn registered(&self) -> Option<usize> {
        let nth = self.deregistrations();
        self.state().registered.filter(|registered| *registered == nth)
    }

    /// How often the fan-out consumer was deregistered by now.
    fn deregistrations(&self) -> usize {
        let now_ms = self.now_ms();
        self.deregistered.iter().filter(|at_ms| **at_ms <= now_ms).count()
    }

    /// Ends all faults.
    pub(crate) fn calm(&self) {
        self.state().is_calm = true;
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.state().is_calm
    }

    /// Everything is delivered, and nothing comes again.
    pub(crate) fn set_delivered(&self) {
        self.state().is_delivered = true;
    }

    pub(crate) fn is_delivered(&self) -> bool {
        self.state().is_delivered
    }

    /// Draws what becomes of the next call to a table.
    pub(crate) fn fate(&self, table: Table) -> Fate {
        let now = self.now_ms();
        let plan = &self.plan;
        let mut state = self.state();
        let (before, after) = (state.rng.u64(1..=20), state.rng.u64(0..=10));
        let mut fate = Fate { before, after, ending: Ending::Answered };
        let drawn = state.rng.u32(0..1_000);
        let half = state.rng.bool();
        let slow = state.rng.u64(1..=SLOWEST_MS);
        if state.is_calm {
            return fate;
        }
        if self.outages.iter().any(|outage| outage.table == table && (outage.from..outage.to).contains(&now)) {
            fate.ending = Ending::Refused;
            return fate;
        }
        // Few kills: each of them is spread over the calls of some seconds.
        let kill = if state.kills_left > 0 { 30 } else { 0 };
        let mut limit = kill;
        if drawn < limit {
            state.kills_left -= 1;
            fate.ending = if half { Ending::KilledBefore } else { Ending::KilledAfter };
            return fate;
        }
        limit += plan.throttled;
        if drawn < limit {
            fate.ending = Ending::Refused;
            return fate;
        }
        limit += plan.lost;
        if drawn < limit {
            fate.ending = if half { Ending::Refused } else { Ending::AnswerLost };
            return fate;
        }
        limit += plan.slow;
        if drawn < limit {
            if half { fate.before += slow } else { fate.after += slow }
        }
        fate
    }

    /// Adds an event to the trace.
    pub(crate) fn trace(&self, event: fmt::Arguments<'_>) {
        let now = self.now_ms();
        self.state().trace.add(format_args!("{now:>7} {event}"));
    }

    /// Notes what is wrong. Only the first finding counts: the run ends with it.
    pub(crate) fn report(&self, finding: Finding) {
        self.state().finding.get_or_insert(finding);
        self.has_finding.notify_one();
    }

    /// Waits for a finding.
    pub(crate) async fn found(&self) {
        self.has_finding.notified().await;
    }

    pub(crate) fn take_finding(&self) -> Option<Finding> {
        self.state().finding.take()
    }

    pub(crate) fn take_trace(&self) -> (u64, u64, Option<String>) {
        let trace = &mut self.state().trace;
        (trace.hash(), trace.events(), trace.lines())
    }
}

/// Sleeps for milliseconds of the run's clock.
pub(crate) async fn sleep_ms(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
