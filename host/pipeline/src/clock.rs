//! The time of day, as this host has it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The time of day. How much time passes is never measured by it.
#[derive(Clone, Copy, Debug, Default)]
pub enum Clock {
    /// The machine's.
    #[default]
    Machine,
    /// One that was set, and goes on by tokio's clock, which may be paused.
    Set {
        /// The time when it was set.
        time: SystemTime,
        /// The moment at which it was set.
        at: Instant,
    },
}

impl Clock {
    /// A clock that shows this time now.
    pub fn set_to(time: SystemTime) -> Self {
        Self::Set { time, at: Instant::now() }
    }

    /// The time of day.
    pub fn now(self) -> SystemTime {
        match self {
            Self::Machine => SystemTime::now(),
            Self::Set { time, at } => time + at.elapsed(),
        }
    }

    /// The time since 1970; zero before that.
    pub fn since_epoch(self) -> Duration {
        self.now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_goes_on_by_tokios() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let clock = Clock::set_to(UNIX_EPOCH + Duration::from_secs(7));
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(clock.since_epoch(), Duration::from_secs(67));
        });
    }
}
