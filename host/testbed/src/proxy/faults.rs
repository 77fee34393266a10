//! What goes wrong by chance, and what is drawn for a request.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::kinesis::KinesisFaults;

/// What goes wrong, and how often. By default nothing does.
///
/// A request meets at most one of `throttle`, `server_error`, `reset_before` and `reset_after`: their sum is at most 1.
/// `delay` and `partial` are drawn by themselves, and come on top.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// Probability of a throttling error. DynamoDB's is drawn evenly from `ProvisionedThroughputExceededException`,
    /// `ThrottlingException` and `RequestLimitExceeded`, each with its reasons; Kinesis' is
    /// `ProvisionedThroughputExceededException` where records are put or read, else `LimitExceededException`. The
    /// request is not forwarded.
    pub throttle: f64,
    /// Probability of a server error, DynamoDB's `InternalServerError` (500) or Kinesis' `InternalFailure` (500) and
    /// `ServiceUnavailable` (503): half before, half after the request took effect.
    pub server_error: f64,
    /// Probability that the connection is reset and the request not forwarded.
    pub reset_before: f64,
    /// Probability that the request takes effect and the connection is reset without an answer.
    pub reset_after: f64,
    /// Probability of a wait before anything else happens to the request.
    pub delay: f64,
    /// How long that wait is: from the first to the second, both possible.
    pub delay_ms: (u64, u64),
    /// Probability that a batch is done in part. `BatchGetItem` and `BatchWriteItem` of two or more give some back as
    /// `UnprocessedKeys` or `UnprocessedItems`. `BatchExecuteStatement` answers some statements, or all, by an error;
    /// one that is told to have met an `InternalServerError` may have taken effect all the same. `PutRecords` answers
    /// some records, or all, by `ProvisionedThroughputExceededException` or `InternalFailure`; one that is told to have
    /// met the latter may be in the stream.
    pub partial: f64,
    /// The operations that meet faults; without a list, all do.
    pub only: Option<Vec<String>>,
    /// What only Kinesis does.
    pub kinesis: KinesisFaults,
}

/// What shall happen to a request, but for `delay` and `partial`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Forward,
    Throttle,
    ErrorBefore,
    ErrorAfter,
    ResetBefore,
    ResetAfter,
}

/// What was drawn for a request.
pub(super) struct Plan {
    pub(super) delay: Option<Duration>,
    pub(super) fate: Fate,
    pub(super) partial: bool,
    /// Its operation is none of those that meet faults.
    pub(super) spared: bool,
    /// What it was drawn from.
    pub(super) faults: Arc<Faults>,
    /// For what is drawn about this request later.
    pub(super) rng: Rng,
}

impl Plan {
    /// A copy whose draws are others.
    pub(super) fn another(&mut self) -> Self {
        Self { faults: self.faults.clone(), rng: self.rng.fork(), ..*self }
    }
}

impl Faults {
    /// # Panics
    ///
    /// If these are no probabilities.
    pub(super) fn check(&self) {
        let exclusive = [self.throttle, self.server_error, self.reset_before, self.reset_after];
        let kinesis = [self.kinesis.expired_iterator, self.kinesis.cut];
        let all = [&exclusive[..], &[self.delay, self.partial], &kinesis].concat();
        assert!(all.iter().all(|p| (0.0..=1.0).contains(p)), "a fault's probability is from 0 to 1: {self:?}");
        // Ten times 0.1 is a little more than 1.
        assert!(exclusive.iter().sum::<f64>() < 1.0 + 1e-9, "faults that exclude each other exceed 1: {self:?}");
        assert!(self.delay_ms.0 <= self.delay_ms.1, "the shortest delay exceeds the longest: {self:?}");
        self.kinesis.check();
    }

    pub(super) fn draw(self: &Arc<Self>, operation: &str, mut rng: Rng) -> Plan {
        let faults = self.clone();
        if self.spares(operation) {
            return Plan { delay: None, fate: Fate::Forward, partial: false, spared: true, faults, rng };
        }
        let delay = (rng.f64() < self.delay).then(|| Duration::from_millis(rng.u64(self.delay_ms.0..=self.delay_ms.1)));
        let partial = rng.f64() < self.partial;
        let mut left = rng.f64();
        let fate = [
            (self.throttle, Fate::Throttle),
            (self.server_error / 2.0, Fate::ErrorBefore),
            (self.server_error / 2.0, Fate::ErrorAfter),
            (self.reset_before, Fate::ResetBefore),
            (self.reset_after, Fate::ResetAfter),
        ]
        .into_iter()
        .find_map(|(probability, fate)| {
            left -= probability;
            (left < 0.0).then_some(fate)
        });
        Plan { delay, fate: fate.unwrap_or(Fate::Forward), partial, spared: false, faults, rng }
    }

    /// Whether an operation is none of those that meet faults.
    pub(super) fn spares(&self, operation: &str) -> bool {
        self.only.as_ref().is_some_and(|only| only.iter().all(|other| other != operation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(faults: &Faults, operation: &str) -> Vec<Fate> {
        let faults = Arc::new(faults.clone());
        let mut rng = Rng::with_seed(7);
        (0..10_000).map(|_| faults.draw(operation, Rng::with_seed(rng.u64(..))).fate).collect()
    }

    #[test]
    fn each_fault_comes_as_often_as_asked() {
        let faults =
            Faults { throttle: 0.1, server_error: 0.2, reset_before: 0.3, reset_after: 0.05, ..Faults::default() };
        let drawn = drawn(&faults, "PutItem");
        let share = |fate| drawn.iter().filter(|other| **other == fate).count();
        assert!((900..1_100).contains(&share(Fate::Throttle)));
        assert!((900..1_100).contains(&share(Fate::ErrorBefore)));
        assert!((900..1_100).contains(&share(Fate::ErrorAfter)));
        assert!((2_800..3_200).contains(&share(Fate::ResetBefore)));
        assert!((400..600).contains(&share(Fate::ResetAfter)));
    }

    #[test]
    fn a_certain_fault_always_comes_and_an_impossible_one_never() {
        let faults = Faults { reset_after: 1.0, ..Faults::default() };
        assert!(drawn(&faults, "PutItem").iter().all(|fate| *fate == Fate::ResetAfter));
        assert!(drawn(&Faults::default(), "PutItem").iter().all(|fate| *fate == Fate::Forward));
    }

    #[test]
    fn other_operations_than_the_listed_ones_are_spared() {
        let faults = Faults { throttle: 1.0, only: Some(vec!["GetItem".into()]), ..Faults::default() };
        assert!(drawn(&faults, "PutItem").iter().all(|fate| *fate == Fate::Forward));
        assert!(drawn(&faults, "GetItem").iter().all(|fate| *fate == Fate::Throttle));
    }

    #[test]
    #[should_panic(expected = "exceed 1")]
    fn faults_that_exclude_each_other_are_refused_when_they_sum_up_to_more_than_one() {
        Faults { throttle: 0.6, reset_before: 0.6, ..Faults::default() }.check();
    }
}
