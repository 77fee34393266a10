//! A set of seconds that is small when they are consecutive, as the seconds of a racer are.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// A set of integers as runs `[first, last]`. The runs ascend and never touch, so equal sets have equal bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seconds(Vec<(i64, i64)>);

impl Seconds {
    /// Inserts one second.
    pub(crate) fn insert(&mut self, second: i64) {
        // The first run that ends at `second - 1` or later. No other run can contain or touch the second.
        let at = self.0.partition_point(|&(_, last)| last < second.saturating_sub(1));
        match self.0.get_mut(at) {
            Some((first, last)) if *first <= second.saturating_add(1) => {
                *first = second.min(*first);
                *last = second.max(*last);
                // The gap to the next run may be closed now.
                if let Some(&(next_first, next_last)) = self.0.get(at + 1)
                    && next_first <= second.saturating_add(1)
                {
                    self.0[at].1 = next_last;
                    self.0.remove(at + 1);
                }
            }
            _ => self.0.insert(at, (second, second)),
        }
    }

    /// Inserts all seconds of another set.
    pub(crate) fn merge(&mut self, other: &Self) {
        let own = core::mem::take(&mut self.0);
        let (mut own, mut others) = (&own[..], &other.0[..]);
        loop {
            // Both ascend. The lesser run is next.
            let is_own = match (own.first(), others.first()) {
                (Some(own), Some(other)) => own <= other,
                (own, _) => own.is_some(),
            };
            let side = if is_own { &mut own } else { &mut others };
            let Some((&(first, last), rest)) = side.split_first() else { break };
            *side = rest;
            match self.0.last_mut() {
                Some(run) if first <= run.1.saturating_add(1) => run.1 = run.1.max(last),
                _ => self.0.push((first, last)),
            }
        }
    }

    /// The number of seconds.
    pub(crate) fn count(&self) -> i64 {
        self.0.iter().map(|(first, last)| last.saturating_sub(*first).saturating_add(1)).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn set(of: &[i64]) -> Seconds {
        let mut seconds = Seconds::default();
        of.iter().for_each(|&second| seconds.insert(second));
        seconds
    }

    #[test]
    fn consecutive_seconds_are_one_run() {
        assert_eq!(set(&[3, 1, 2]).0, [(1, 3)]);
        assert_eq!(set(&[i64::MIN, i64::MAX]).0, [(i64::MIN, i64::MIN), (i64::MAX, i64::MAX)]);
    }

    proptest! {
        #[test]
        fn it_is_a_set(
            left in prop::collection::vec(-20..20_i64, 0..40),
            right in prop::collection::vec(-20..20_i64, 0..40),
        ) {
            let mut union = set(&left);
            union.merge(&set(&right));
            let all: Vec<_> = left.iter().chain(&right).copied().collect();
            prop_assert_eq!(&union, &set(&all));
            prop_assert_eq!(union.count() as usize, all.iter().collect::<BTreeSet<_>>().len());
        }
    }
}
