//! Whether a trial has passed, failed, or shown too little.

use std::fmt;

use super::share::Share;
use super::tally::Tally;
use super::trial::TrialLimits;
use crate::summary::Rows;

/// Whether a trial has passed, failed, or shown too little.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Enough records were evaluated, and the limits are kept.
    Passed,
    /// A limit is exceeded, beyond chance.
    Failed(Exceeded),
    /// Too few records to know.
    Inconclusive,
}

/// A limit that is exceeded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exceeded {
    /// Whether it is that of failures; otherwise that of rejections.
    pub failures: bool,
    /// The records that are counted.
    pub count: u64,
    /// All records.
    pub of: u64,
    /// The same of the current rulebook.
    pub current: f64,
    /// How much more is allowed.
    pub limit: Share,
}

/// Standard deviations between what is seen and what counts as proven: one trial in about a thousand is misjudged.
const DEVIATIONS: f64 = 3.0;

/// Compares what a trial has shown with its limits.
pub fn verdict(tally: &Tally, limits: &TrialLimits) -> Verdict {
    let (rows, current) = (tally.candidate.rows, tally.current.rows);
    let failures = |rows: Rows| rows.failed + rows.bad_scores;
    let mut proven = rows.evaluated >= limits.min_rows;
    for (is_failures, count, before, limit) in [
        (true, failures(rows), failures(current), limits.max_failed),
        (false, rows.rejected, current.rejected, limits.max_rejected),
    ] {
        let before = ratio(before, current.evaluated);
        let allowed = before + limit.as_f64();
        let (least, most) = interval(count, rows.evaluated);
        if least > allowed {
            let exceeded = Exceeded { failures: is_failures, count, of: rows.evaluated, current: before, limit };
            return Verdict::Failed(exceeded);
        }
        proven &= most <= allowed;
    }
    if proven { Verdict::Passed } else { Verdict::Inconclusive }
}

fn ratio(count: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { count as f64 / of as f64 }
}

/// Between which shares the true one lies, by Wilson's score interval:
/// <https://en.wikipedia.org/wiki/Binomial_proportion_confidence_interval>.
fn interval(count: u64, of: u64) -> (f64, f64) {
    if of == 0 {
        return (0.0, 1.0);
    }
    let (n, p, z2) = (of as f64, ratio(count, of), DEVIATIONS * DEVIATIONS);
    let middle = p + z2 / (2.0 * n);
    let spread = DEVIATIONS * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    (((middle - spread) / scale).max(0.0), ((middle + spread) / scale).min(1.0))
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Failed(exceeded) => write!(f, "failed: {exceeded}"),
            Self::Inconclusive => f.write_str("too few records to know"),
        }
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { failures, count, of, current, limit } = self;
        let what = if *failures { "plugins failed on" } else { "plugins rejected" };
        write!(
            f,
            "{what} {count} of {of} records, {:.2} %; the current rulebook has {:.2} %, and {limit} more are allowed",
            ratio(*count, *of) * 100.0,
            current * 100.0
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rules::tally::Arm;

    fn tally(evaluated: u64, failed: u64, rejected: u64) -> Tally {
        let rows = Rows { evaluated, failed, rejected, ..Rows::default() };
        let current = Rows { evaluated: 100_000, rejected: 1_000, ..Rows::default() };
        Tally {
            candidate: Arm { rows, ..Arm::default() },
            current: Arm { rows: current, ..Arm::default() },
            ..Tally::default()
        }
    }

    fn of(evaluated: u64, failed: u64, rejected: u64) -> Verdict {
        verdict(&tally(evaluated, failed, rejected), &TrialLimits::default())
    }

    #[test]
    fn a_trap_in_one_record_of_a_hundred_fails() {
        assert!(matches!(of(5_000, 50, 50), Verdict::Failed(exceeded) if exceeded.failures));
    }

    #[test]
    fn too_few_records_hold_the_trial() {
        assert_eq!(of(0, 0, 0), Verdict::Inconclusive);
        assert_eq!(of(100, 1, 0), Verdict::Inconclusive);
        assert_eq!(of(1_999, 0, 0), Verdict::Inconclusive);
    }

    #[test]
    fn sound_records_in_number_pass() {
        assert_eq!(of(2_000, 0, 20), Verdict::Passed);
        assert_eq!(of(100_000, 100, 1_000), Verdict::Passed);
    }

    #[test]
    fn a_candidate_that_rejects_everything_fails_soon() {
        assert!(matches!(of(50, 0, 50), Verdict::Failed(exceeded) if !exceeded.failures));
        assert!(matches!(of(50, 50, 0), Verdict::Failed(exceeded) if exceeded.failures));
    }

    proptest! {
        /// More failures never make a verdict better.
        #[test]
        fn more_failures_are_never_better(evaluated in 1..20_000_u64, failed in 0..500_u64, more in 0..500_u64) {
            let rank = |verdict| match verdict {
                Verdict::Passed => 0,
                Verdict::Inconclusive => 1,
                Verdict::Failed(_) => 2,
            };
            let (failed, more) = (failed.min(evaluated), (failed + more).min(evaluated));
            prop_assert!(rank(of(evaluated, failed, 0)) <= rank(of(evaluated, more, 0)));
        }
    }
}
