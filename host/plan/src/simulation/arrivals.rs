//! Which messages a queue has at a time. The n-th message comes after n ÷ rate seconds.

use std::ops::Range;

use super::clock::{Micros, micros, seconds};
use crate::load::{Finals, Load};

/// The messages of a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrivals {
    /// Messages a second.
    rate: f64,
    /// Messages of a race.
    of_race: f64,
    /// Final ones at the end of each race, if they come together.
    finals: f64,
    together: bool,
}

impl Arrivals {
    pub(super) fn new(load: &Load, rate: f64) -> Self {
        let of_race = rate * f64::from(load.race_seconds.max(1));
        Self { rate, of_race, finals: of_race * load.final_share(), together: load.finals == Finals::Together }
    }

    /// Messages that have come until a time.
    pub(super) fn until(&self, at: Micros) -> u64 {
        // A message that comes at this microsecond has come.
        (seconds(at) * self.rate + 1e-6).floor() as u64
    }

    /// When a message comes, by its number from 0.
    pub(super) fn time_of(&self, message: u64) -> Micros {
        if self.rate <= 0.0 { Micros::MAX } else { micros((message + 1) as f64 / self.rate) }
    }

    /// Final messages in a range.
    pub(super) fn finals(&self, messages: Range<u64>) -> u64 {
        self.finals_before(messages.end) - self.finals_before(messages.start)
    }

    fn finals_before(&self, message: u64) -> u64 {
        if self.of_race <= 0.0 {
            return 0;
        }
        let races = message as f64 / self.of_race;
        match self.together {
            false => (races * self.finals).floor() as u64,
            true => {
                let of_last = (races.fract() * self.of_race - (self.of_race - self.finals)).max(0.0);
                (races.floor() * self.finals + of_last + 1e-6).floor() as u64
            }
        }
    }
}
