//! The bound on time: a thread that moves the engine's epoch on while calls are running, and sleeps while none is.
//!
//! It counts its own ticks, not the clock's: where the whole process is frozen between invocations, as Lambda does, the
//! time asleep is nobody's fault.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

/// How often the epoch moves. A call is stopped at most one tick late; each tick costs a wake-up, and only while a call
/// runs.
const TICK: Duration = Duration::from_millis(10);

#[derive(Default)]
struct Shared {
    /// Calls that are running.
    running: AtomicUsize,
    /// The engine is gone.
    stopped: AtomicBool,
    /// Held by the thread from its look at `running` to its sleep, so that no wake-up is lost.
    idle: Mutex<()>,
    wake: Condvar,
}

impl Shared {
    fn wake(&self) {
        let _idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        self.wake.notify_one();
    }
}

pub(crate) struct Watchdog(Arc<Shared>);

impl Watchdog {
    /// Starts the thread. It ends when the watchdog is dropped.
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (engine, watched) = (engine.weak(), Arc::clone(&shared));
        std::thread::Builder::new().name("paceline-watchdog".to_owned()).spawn(move || watch(&engine, &watched))?;
        Ok(Self(shared))
    }

    /// Epochs that make up this time, rounded up, and one more: the first tick may come at once.
    pub(crate) fn ticks(time: Duration) -> u64 {
        u64::try_from(time.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX - 1).saturating_add(1)
    }

    /// Watches until the guard is dropped.
    pub(crate) fn guard(&self) -> Guard<'_> {
        if self.0.running.fetch_add(1, Ordering::SeqCst) == 0 {
            self.0.wake();
        }
        Guard(&self.0)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::SeqCst);
        self.0.wake();
    }
}

/// A running call.
pub(crate) struct Guard<'a>(&'a Shared);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn watch(engine: &EngineWeak, watched: &Shared) {
    loop {
        let mut idle = watched.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while watched.running.load(Ordering::SeqCst) == 0 && !watched.stopped.load(Ordering::SeqCst) {
            idle = watched.wake.wait(idle).unwrap_or_else(PoisonError::into_inner);
        }
        drop(idle);
        std::thread::sleep(TICK);
        let Some(engine) = engine.upgrade() else { return };
        if watched.stopped.load(Ordering::SeqCst) {
            return;
        }
        engine.increment_epoch();
    }
}
