//! Capacity with burst credit: what is not used is kept, for some time.

use super::clock::{Micros, seconds};

/// A bucket of write units.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    rate: f64,
    most: f64,
    level: f64,
    at: Micros,
}

impl Bucket {
    /// A full bucket: so many units a second, of which those of so many seconds are kept.
    pub(super) fn new(rate: f64, kept_seconds: f64) -> Self {
        let most = rate * kept_seconds;
        Self { rate, most, level: most, at: 0 }
    }

    /// The units that are there at a time, which must not be before the last one.
    pub(super) fn level(&mut self, at: Micros) -> f64 {
        self.level = (self.level + self.rate * seconds(at - self.at)).min(self.most);
        self.at = at;
        self.level
    }

    /// Takes units, which must be there.
    pub(super) fn take(&mut self, units: f64) {
        self.level -= units;
    }
}
