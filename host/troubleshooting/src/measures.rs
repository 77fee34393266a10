//! What was measured in a phase, by period.

use crate::log::Counts;
use crate::producers::Puts;
use crate::recorder::Invocations;

/// What was measured in a phase.
#[derive(Clone, Debug, Default)]
pub struct Measures {
    /// When the race began, in milliseconds since 1970.
    pub start_ms: i64,
    /// By period.
    pub periods: Vec<Period>,
    /// What was measured after the race, until its last messages were committed.
    pub(crate) drain: Period,
    /// What the function counted.
    pub(crate) counts: Counts,
}

/// What was measured in a period.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Period {
    /// Seconds since the race began, at the end of the period.
    pub until_seconds: u32,
    pub(crate) puts: Puts,
    pub(crate) invocations: Invocations,
    pub(crate) table: Writes,
    pub(crate) index: Writes,
}

/// Writes of a table or an index.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Writes {
    pub(crate) units: f64,
    pub(crate) throttled: f64,
    pub(crate) throttled_by_key: f64,
}

impl Writes {
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            units: self.units - earlier.units,
            throttled: self.throttled - earlier.throttled,
            throttled_by_key: self.throttled_by_key - earlier.throttled_by_key,
        }
    }
}

impl Measures {
    /// The sum of a figure over all periods of the race.
    pub(crate) fn total(&self, of: impl Fn(&Period) -> f64) -> f64 {
        self.periods.iter().map(of).sum()
    }

    /// The sum of a figure over all periods, until the last messages were committed.
    pub(crate) fn total_with_drain(&self, of: impl Fn(&Period) -> f64) -> f64 {
        self.total(&of) + of(&self.drain)
    }

    /// The highest of a figure.
    pub(crate) fn highest(&self, of: impl Fn(&Period) -> f64) -> f64 {
        self.periods.iter().map(of).fold(0.0, f64::max)
    }

    /// The age at the end of the race, in seconds.
    pub fn age_seconds(&self) -> f64 {
        self.periods.iter().rev().find_map(|period| period.invocations.iterator_age_seconds).unwrap_or(0.0)
    }

    /// Seconds a second by which the age grew in the second half of the race.
    pub fn growth(&self) -> f64 {
        let half = &self.periods[self.periods.len() / 2..];
        let age = |period: &Period| Some((period.until_seconds, period.invocations.iterator_age_seconds?));
        let (first, last) = (half.iter().find_map(age), half.iter().rev().find_map(age));
        match (first, last) {
            (Some((from, before)), Some((until, after))) if until > from => (after - before) / f64::from(until - from),
            _ => 0.0,
        }
    }
}
