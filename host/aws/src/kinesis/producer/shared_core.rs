//! The core, as the sending task and those who put records share it.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::core::{Action, Core};
use super::queue;
use super::request::PutResult;
use super::shard_map::ShardMap;
use crate::kinesis::error::StreamError;

/// The core with its clock, and what wakes the task and those who wait for room.
#[derive(Debug)]
pub(super) struct SharedCore {
    core: Mutex<Core>,
    /// A record was put, or the last one was.
    changed: Notify,
    /// Free bytes of the buffer. Closed when the producer gives up.
    room: Semaphore,
    started: Instant,
}

/// How a task of the driver ended.
pub(super) enum TaskOutcome {
    /// The response to the request with this number.
    Put(u64, Result<Vec<PutResult>, StreamError>),
    Listed(Result<ShardMap, StreamError>),
}

impl SharedCore {
    pub(super) fn new(core: Core, buffer_bytes: usize) -> Self {
        Self {
            core: Mutex::new(core),
            changed: Notify::new(),
            room: Semaphore::new(buffer_bytes),
            started: Instant::now(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().expect("nothing panics while it is held")
    }

    /// Accepts a record once there is room.
    pub(super) async fn put(&self, key: String, data: Vec<u8>) -> Result<(), StreamError> {
        // If it is closed, the core has ended and returns the error.
        if let Ok(room) = self.room.acquire_many(queue::room(&key, &data) as u32).await {
            room.forget();
        }
        self.lock().put(self.started.elapsed(), key, data)?;
        self.changed.notify_one();
        Ok(())
    }

    /// No further records are put.
    pub(super) fn flush(&self) {
        self.lock().flush();
        self.changed.notify_one();
    }

    pub(super) fn next_action(&self) -> Action {
        let mut core = self.lock();
        let action = core.next_action(self.started.elapsed());
        self.room.add_permits(core.take_freed());
        if core.ended().is_some() {
            self.room.close();
        }
        action
    }

    pub(super) fn complete(&self, outcome: TaskOutcome) {
        let now = self.started.elapsed();
        match outcome {
            TaskOutcome::Put(number, response) => self.lock().answered(now, number, response),
            TaskOutcome::Listed(listed) => self.lock().listed(now, listed),
        }
    }

    /// Waits until records were put, or until this time after the start.
    pub(super) async fn wait(&self, until: Option<Duration>) {
        let timer = async {
            match until {
                Some(until) => sleep_until(self.started + until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.changed.notified() => {}
            () = timer => {}
        }
    }
}
