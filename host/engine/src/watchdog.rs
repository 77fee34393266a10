//! The limit on time: a thread that increments the engine's epoch while calls are running, and sleeps while none is.
//!
//! The thread counts its own ticks and not the clock's: Lambda freezes the whole process between invocations, and that
//! time must not count.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

/// How often the epoch is incremented. A call is stopped at most one tick late; each tick costs a wake-up, and only
/// while a call runs.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// The calls that are running, shared between them and the thread.
#[derive(Default)]
struct RunningCalls {
    count: AtomicUsize,
    /// Whether the thread sleeps until a call runs. It need not be woken otherwise, which would cost every call a system
    /// call.
    idles: AtomicBool,
    /// Whether the engine is gone.
    stopped: AtomicBool,
    /// Held by the thread from reading `count` until it sleeps, so that no wake-up is lost.
    idle: Mutex<()>,
    wake: Condvar,
}

impl RunningCalls {
    fn wake(&self) {
        let _idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        self.wake.notify_one();
    }
}

pub(crate) struct Watchdog {
    calls: Arc<RunningCalls>,
    tick: Duration,
}

impl Watchdog {
    /// Starts the thread, which increments the epoch this often. It ends when the watchdog is dropped.
    pub(crate) fn start(engine: &Engine, tick: Duration) -> std::io::Result<Self> {
        let calls = Arc::new(RunningCalls::default());
        let (engine, watched) = (engine.weak(), Arc::clone(&calls));
        std::thread::Builder::new().name("paceline-watchdog".to_owned()).spawn(move || run(&engine, &watched, tick))?;
        Ok(Self { calls, tick })
    }

    /// The epochs that this time takes, rounded up, and one more: the first tick may follow at once.
    pub(crate) fn ticks(&self, time: Duration) -> u64 {
        u64::try_from(time.as_nanos().div_ceil(self.tick.as_nanos())).unwrap_or(u64::MAX - 1).saturating_add(1)
    }

    /// Watches a call until the guard is dropped.
    pub(crate) fn watch(&self) -> RunningCall<'_> {
        // Either this sees that the thread idles, or the thread, which looks at the count after it has said so, sees the call.
        if self.calls.count.fetch_add(1, Ordering::SeqCst) == 0 && self.calls.idles.load(Ordering::SeqCst) {
            self.calls.wake();
        }
        RunningCall(&self.calls)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.calls.stopped.store(true, Ordering::SeqCst);
        self.calls.wake();
    }
}

pub(crate) struct RunningCall<'a>(&'a RunningCalls);

impl Drop for RunningCall<'_> {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::SeqCst);
    }
}

#[expect(clippy::disallowed_methods, reason = "it is a clock: there is no event to wait for but the next tick")]
fn run(engine: &EngineWeak, calls: &RunningCalls, tick: Duration) {
    loop {
        let mut idle = calls.idle.lock().unwrap_or_else(PoisonError::into_inner);
        calls.idles.store(true, Ordering::SeqCst);
        while calls.count.load(Ordering::SeqCst) == 0 && !calls.stopped.load(Ordering::SeqCst) {
            idle = calls.wake.wait(idle).unwrap_or_else(PoisonError::into_inner);
        }
        calls.idles.store(false, Ordering::SeqCst);
        drop(idle);
        std::thread::sleep(tick);
        let Some(engine) = engine.upgrade() else { return };
        if calls.stopped.load(Ordering::SeqCst) {
            return;
        }
        engine.increment_epoch();
    }
}
