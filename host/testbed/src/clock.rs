//! A clock that runs faster than the machine's, so that minutes of a race take seconds.

use std::time::{Duration, Instant};

use crate::poll::pause;

/// A clock of milliseconds since 1970 that begins at a chosen time and runs at a chosen speed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clock {
    began: Instant,
    began_ms: i64,
    speed: f64,
}

impl Clock {
    /// A clock that shows this time now, and runs `speed` times as fast as the machine's.
    ///
    /// # Panics
    ///
    /// If `speed` is not above 0.
    pub fn new(began_ms: i64, speed: f64) -> Self {
        assert!(speed > 0.0, "a clock's speed is {speed}, not above 0");
        Self { began: Instant::now(), began_ms, speed }
    }

    /// How many of its seconds are one of the machine's.
    pub fn speed(&self) -> f64 {
        self.speed
    }

    /// The time that it shows.
    pub fn now_ms(&self) -> i64 {
        self.at_ms(Instant::now())
    }

    /// The time that it shows at a time of the machine.
    pub fn at_ms(&self, instant: Instant) -> i64 {
        let passed = |duration: Duration| (duration.as_secs_f64() * 1e3 * self.speed) as i64;
        match instant.checked_duration_since(self.began) {
            Some(since) => self.began_ms + passed(since),
            None => self.began_ms - passed(self.began.duration_since(instant)),
        }
    }

    /// How long so many of its milliseconds take.
    pub fn real(&self, ms: i64) -> Duration {
        Duration::from_secs_f64(ms.max(0) as f64 / 1e3 / self.speed)
    }

    /// Waits until it shows this time.
    pub fn wait_until(&self, ms: i64) {
        let wait = (self.began + self.real(ms - self.began_ms)).saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            pause(wait);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_at_its_speed() {
        let clock = Clock::new(1_000_000, 20.0);
        let start = clock.began;
        assert_eq!(clock.at_ms(start + Duration::from_secs(3)), 1_060_000);
        assert_eq!(clock.at_ms(start - Duration::from_secs(1)), 980_000);
        assert_eq!(clock.real(60_000), Duration::from_secs(3));
        clock.wait_until(1_000_200);
        assert!(clock.now_ms() >= 1_000_200);
    }
}
