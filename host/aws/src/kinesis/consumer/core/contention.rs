//! Whether another reader uses the same fan-out consumer.
//!
//! Kinesis gives a shard's subscription to whoever subscribes last, and refuses one only within five seconds after
//! another: two readers under one name take each shard from each other for ever, and each of them reads whenever it has
//! the subscription. One such conflict is no trouble: a new process takes over from the one before.

use std::time::{Duration, Instant};

/// For so long conflicts are no trouble: one process takes over from another.
const REPORTED_AFTER: Duration = Duration::from_secs(10);
/// The interval at which they are reported.
const REPORTED_EVERY: Duration = Duration::from_secs(60);
/// Conflicts that are further apart have different causes. Readers that take a shard from each other do so every five
/// to ten seconds.
const APART: Duration = Duration::from_secs(60);

/// What a conflict means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kinesis::consumer) enum Conflict {
    /// The first one.
    First,
    /// One of several, which need no report now.
    Further,
    /// They go on: for so long, and so many.
    GoesOn { since: Duration, count: u64 },
}

/// The conflicts with another reader, of all shards.
#[derive(Debug, Default)]
pub(super) struct Contention(Option<Conflicts>);

#[derive(Debug)]
struct Conflicts {
    first: Instant,
    last: Instant,
    count: u64,
    reported: Option<Instant>,
}

impl Contention {
    /// A subscription was refused or taken over, because another reader has it.
    pub(super) fn conflict(&mut self, now: Instant) -> Conflict {
        let conflicts = match &mut self.0 {
            Some(conflicts) if now.saturating_duration_since(conflicts.last) < APART => conflicts,
            none => {
                *none = Some(Conflicts { first: now, last: now, count: 1, reported: None });
                return Conflict::First;
            }
        };
        conflicts.last = now;
        conflicts.count += 1;
        let since = now.saturating_duration_since(conflicts.first);
        let is_due = |at: Instant| now.saturating_duration_since(at) >= REPORTED_EVERY;
        if since < REPORTED_AFTER || !conflicts.reported.is_none_or(is_due) {
            return Conflict::Further;
        }
        conflicts.reported = Some(now);
        Conflict::GoesOn { since, count: conflicts.count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflicts_that_go_on_are_reported_once_in_a_while() {
        let (mut contention, began) = (Contention::default(), Instant::now());
        let reports: Vec<u64> = (0..=150)
            .step_by(5)
            .filter(|second| {
                let conflict = contention.conflict(began + Duration::from_secs(*second));
                assert_eq!(conflict == Conflict::First, *second == 0);
                matches!(conflict, Conflict::GoesOn { .. })
            })
            .collect();
        assert_eq!(reports, [10, 70, 130]);
        let later = began + Duration::from_secs(210);
        assert_eq!(contention.conflict(later), Conflict::First, "those before are over");
    }

    #[test]
    fn one_process_taking_over_from_another_is_no_trouble() {
        let (mut contention, began) = (Contention::default(), Instant::now());
        // Refusals within five seconds after the other's subscription; then it ends, with its process.
        for millis in [0, 200, 600, 1_400, 3_000, 5_000, 9_900] {
            let conflict = contention.conflict(began + Duration::from_millis(millis));
            assert!(matches!(conflict, Conflict::First | Conflict::Further), "{conflict:?}");
        }
    }
}
