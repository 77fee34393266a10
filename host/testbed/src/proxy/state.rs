//! What all connections of a proxy share: the settings, the counts, the hook, what is known of Kinesis's streams,
//! what a table of DynamoDB has left.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fastrand::Rng;
use hyper::Version;
use tokio::sync::watch;

use super::counts::Counts;
use super::dynamodb::capacity::TableCapacity;
use super::faults::Faults;
use super::kinesis::state::KinesisState;
use super::plan::FaultPlan;

type Hook = Box<dyn Fn(u64, &str) + Send>;

pub(super) struct ProxyState {
    /// `HOST:PORT` of the service behind the proxy.
    upstream: String,
    session: Mutex<Session>,
    /// Apart from the session, which a hook may read and change.
    hook: Mutex<Option<Hook>>,
    kinesis: Mutex<KinesisState>,
    /// Of the table with limits.
    capacity: Mutex<TableCapacity>,
    /// How often connections were frozen.
    freezes: watch::Sender<u64>,
}

struct Session {
    rng: Rng,
    faults: Arc<Faults>,
    counts: Counts,
}

impl ProxyState {
    pub(super) fn new(upstream: String, faults: Faults, seed: u64) -> Self {
        let session = Session { rng: Rng::with_seed(seed), faults: Arc::new(faults), counts: Counts::default() };
        Self {
            upstream,
            session: Mutex::new(session),
            hook: Mutex::new(None),
            kinesis: Mutex::default(),
            capacity: Mutex::default(),
            freezes: watch::Sender::default(),
        }
    }

    pub(super) fn freeze_connections(&self) {
        self.freezes.send_modify(|freezes| *freezes += 1);
    }

    /// Changes when the connections that exist are frozen.
    pub(super) fn freezes(&self) -> watch::Receiver<u64> {
        self.freezes.subscribe()
    }

    pub(super) fn upstream(&self) -> &str {
        &self.upstream
    }

    pub(super) fn faults(&self) -> Arc<Faults> {
        lock(&self.session).faults.clone()
    }

    pub(super) fn set_faults(&self, faults: Faults) {
        lock(&self.session).faults = Arc::new(faults);
    }

    pub(super) fn set_hook(&self, hook: Hook) {
        *lock(&self.hook) = Some(hook);
    }

    pub(super) fn counts(&self) -> Counts {
        lock(&self.session).counts.clone()
    }

    pub(super) fn count(&self, update: impl FnOnce(&mut Counts)) {
        update(&mut lock(&self.session).counts);
    }

    pub(super) fn kinesis(&self) -> MutexGuard<'_, KinesisState> {
        lock(&self.kinesis)
    }

    pub(super) fn capacity(&self) -> MutexGuard<'_, TableCapacity> {
        lock(&self.capacity)
    }

    /// Counts a request, calls the hook and draws the request's faults.
    pub(super) fn begin(&self, operation: &str, version: Version) -> FaultPlan {
        let number = lock(&self.session).counts.begin(operation, version);
        if let Some(hook) = &*lock(&self.hook) {
            hook(number, operation);
        }
        let mut session = lock(&self.session);
        // One draw for each request, whatever its faults: the next request's faults do not depend on them.
        let rng = Rng::with_seed(session.rng.u64(..));
        let plan = FaultPlan::draw(session.faults.clone(), operation, rng);
        session.counts.planned(&plan);
        plan
    }
}

/// The data stays valid when a hook panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
