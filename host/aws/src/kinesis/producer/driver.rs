//! The task that does what the core says.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::core::{Core, PutResult, Next};
use super::shard_map::ShardMap;
use super::{Sent, Unsent, queue, service};
use crate::kinesis::client::Stream;
use crate::kinesis::error::StreamError;

/// How often it is said that requests fail.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// What those who put and the one who sends have in common.
#[derive(Debug)]
pub(super) struct Shared {
    core: Mutex<Core>,
    /// Something was put, or nothing will be any more.
    wake: Notify,
    /// Bytes that may still be put. It is closed when the producer gives up.
    room: Semaphore,
    started: Instant,
}

/// What came of an errand.
enum Report {
    Answer(u64, Result<Vec<PutResult>, StreamError>),
    Listed(Result<ShardMap, StreamError>),
}

impl Shared {
    pub(super) fn new(core: Core, buffer_bytes: usize) -> Self {
        Self {
            core: Mutex::new(core),
            wake: Notify::new(),
            room: Semaphore::new(buffer_bytes),
            started: Instant::now(),
        }
    }

    pub(super) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().expect("nothing panics while it is held")
    }

    /// Takes a record once there is room.
    pub(super) async fn put(&self, key: String, data: Vec<u8>) -> Result<(), StreamError> {
        // Closed means that the core has ended, which it says itself.
        if let Ok(room) = self.room.acquire_many(queue::room(&key, &data) as u32).await {
            room.forget();
        }
        self.core().put(self.started.elapsed(), key, data)?;
        self.wake.notify_one();
        Ok(())
    }

    /// Nothing more is put.
    pub(super) fn flush(&self) {
        self.core().flush();
        self.wake.notify_one();
    }

    /// What there is to do now.
    fn next(&self) -> Next {
        let mut core = self.core();
        let next = core.next(self.started.elapsed());
        self.room.add_permits(core.take_freed());
        if core.ended().is_some() {
            self.room.close();
        }
        next
    }

    fn tell(&self, report: Report) {
        let now = self.started.elapsed();
        match report {
            Report::Answer(number, answer) => self.core().answer(now, number, answer),
            Report::Listed(listed) => self.core().listed(now, listed),
        }
    }
}

/// Sends until all is sent that was put, or until there is no hope.
pub(super) async fn drive(stream: Stream, shared: Arc<Shared>) -> Result<Sent, Unsent> {
    let mut errands = JoinSet::new();
    let mut said: Option<Instant> = None;
    loop {
        let stream = stream.clone();
        let until = match shared.next() {
            Next::Send(request) => {
                let put = async move { Report::Answer(request.number, service::put(&stream, request.entries).await) };
                errands.spawn(put);
                continue;
            }
            Next::List => {
                errands.spawn(async move { Report::Listed(service::list(&stream).await) });
                continue;
            }
            Next::Wait(until) => until,
            Next::Done => break,
        };
        let sleep = async {
            match until {
                Some(until) => sleep_until(shared.started + until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shared.wake.notified() => {}
            () = sleep => {}
            Some(report) = errands.join_next() => {
                let report = report.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
                if let Report::Answer(_, Err(error)) | Report::Listed(Err(error)) = &report
                    && error.kind.is_transient()
                    && said.is_none_or(|said| said.elapsed() >= SAY_EVERY)
                {
                    tracing::warn!("{error}; it is tried again");
                    said = Some(Instant::now());
                }
                shared.tell(report);
            }
        }
    }
    let core = shared.core();
    let (sent, left) = (core.sent().clone(), core.outstanding());
    match core.ended() {
        Some(why) if left > 0 => Err(Unsent { sent, left, why: why.clone() }),
        _ => Ok(sent),
    }
}
