//! The faults drawn for one request.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::faults::Faults;

/// How a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InjectedFault {
    /// No fault: the service's response.
    None,
    Throttle,
    /// The request is not forwarded.
    ErrorBefore,
    /// The request is forwarded.
    ErrorAfter,
    /// The request is not forwarded.
    ResetBefore,
    /// The request is forwarded.
    ResetAfter,
}

/// What was drawn for a request.
pub(super) struct FaultPlan {
    pub(super) delay: Option<Duration>,
    pub(super) fault: InjectedFault,
    /// The batch is processed in part.
    pub(super) partial: bool,
    /// The operation meets no fault that is drawn.
    pub(super) exempt: bool,
    /// The settings at the time of the request.
    pub(super) faults: Arc<Faults>,
    /// For what is drawn about this request later.
    pub(super) rng: Rng,
}

impl FaultPlan {
    pub(super) fn draw(faults: Arc<Faults>, operation: &str, mut rng: Rng) -> Self {
        if faults.exempts(operation) {
            return Self { delay: None, fault: InjectedFault::None, partial: false, exempt: true, faults, rng };
        }
        let (shortest, longest) = faults.delay_ms;
        let delay = (rng.f64() < faults.delay).then(|| Duration::from_millis(rng.u64(shortest..=longest)));
        let partial = rng.f64() < faults.partial;
        let mut left = rng.f64();
        let fault = [
            (faults.throttle, InjectedFault::Throttle),
            (faults.server_error / 2.0, InjectedFault::ErrorBefore),
            (faults.server_error / 2.0, InjectedFault::ErrorAfter),
            (faults.reset_before, InjectedFault::ResetBefore),
            (faults.reset_after, InjectedFault::ResetAfter),
        ]
        .into_iter()
        .find_map(|(probability, fault)| {
            left -= probability;
            (left < 0.0).then_some(fault)
        });
        Self { delay, fault: fault.unwrap_or(InjectedFault::None), partial, exempt: false, faults, rng }
    }

    /// A copy with another random sequence.
    pub(super) fn fork(&mut self) -> Self {
        Self { faults: self.faults.clone(), rng: self.rng.fork(), ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(faults: &Faults, operation: &str) -> Vec<InjectedFault> {
        let faults = Arc::new(faults.clone());
        let mut rng = Rng::with_seed(7);
        let mut draw = || FaultPlan::draw(faults.clone(), operation, Rng::with_seed(rng.u64(..))).fault;
        (0..10_000).map(|_| draw()).collect()
    }

    #[test]
    fn each_fault_is_drawn_with_its_probability() {
        let faults =
            Faults { throttle: 0.1, server_error: 0.2, reset_before: 0.3, reset_after: 0.05, ..Faults::default() };
        let drawn = drawn(&faults, "PutItem");
        let count = |fault| drawn.iter().filter(|other| **other == fault).count();
        assert!((900..1_100).contains(&count(InjectedFault::Throttle)));
        assert!((900..1_100).contains(&count(InjectedFault::ErrorBefore)));
        assert!((900..1_100).contains(&count(InjectedFault::ErrorAfter)));
        assert!((2_800..3_200).contains(&count(InjectedFault::ResetBefore)));
        assert!((400..600).contains(&count(InjectedFault::ResetAfter)));
    }

    #[test]
    fn a_fault_of_probability_1_is_always_drawn_and_one_of_0_never() {
        let faults = Faults { reset_after: 1.0, ..Faults::default() };
        assert!(drawn(&faults, "PutItem").iter().all(|fault| *fault == InjectedFault::ResetAfter));
        assert!(drawn(&Faults::default(), "PutItem").iter().all(|fault| *fault == InjectedFault::None));
    }

    #[test]
    fn operations_that_are_not_listed_are_exempt() {
        let faults = Faults { throttle: 1.0, only: Some(vec!["GetItem".into()]), ..Faults::default() };
        assert!(drawn(&faults, "PutItem").iter().all(|fault| *fault == InjectedFault::None));
        assert!(drawn(&faults, "GetItem").iter().all(|fault| *fault == InjectedFault::Throttle));
    }
}
