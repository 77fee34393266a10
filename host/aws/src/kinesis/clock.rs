//! The service's clock. Arrival times are by that clock; this machine's may be wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_sdk_kinesis::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kinesis::error::BoxError;
use aws_sdk_kinesis::primitives::{DateTime, DateTimeFormat};
use paceline_pipeline::Clock;

/// A smaller difference counts as none: responses carry whole seconds and take some time to arrive.
const NO_DIFFERENCE_MS: i64 = 2_000;

/// The time by the service's clock, from the `Date` of its responses.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceClock {
    local: Clock,
    offset: Arc<Offset>,
}

/// Milliseconds by which the service's clock is ahead of this machine's, or up to a second less: responses carry whole
/// seconds.
#[derive(Debug, Default)]
struct Offset(AtomicI64);

/// A time by the service's clock, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServiceTime {
    /// The best estimate. It may be a moment ahead.
    pub(super) now_ms: i64,
    /// A moment that has passed: one or two seconds ago at most. The service rejects times in the future, and records
    /// arrive up to them.
    pub(super) passed_ms: i64,
}

impl ServiceClock {
    pub(super) fn new(local: Clock) -> Self {
        Self { local, offset: Arc::default() }
    }

    /// Milliseconds since 1970.
    pub(super) fn now_ms(&self) -> i64 {
        self.local_ms() + self.offset_ms()
    }

    /// The time of now.
    pub(super) fn now(&self) -> ServiceTime {
        ServiceTime { now_ms: self.now_ms(), passed_ms: self.local_ms() + self.offset.0.load(Ordering::Relaxed) }
    }

    /// Milliseconds by which the service's clock is ahead of this machine's; 0 before the first response.
    pub(super) fn offset_ms(&self) -> i64 {
        let ahead = self.offset.0.load(Ordering::Relaxed);
        if ahead.abs() < NO_DIFFERENCE_MS { 0 } else { ahead }
    }

    /// Takes the time of a response.
    pub(super) fn observe(&self, service_ms: i64) {
        self.offset.0.store(service_ms - self.local_ms(), Ordering::Relaxed);
    }

    fn local_ms(&self) -> i64 {
        self.local.since_epoch().as_millis() as i64
    }
}

impl Intercept for ServiceClock {
    fn name(&self) -> &'static str {
        "ServiceClock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        if let Some(date) = date.and_then(|date| date.to_millis().ok()) {
            self.observe(date);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_ahead_by_little_makes_no_difference_to_ages_and_never_names_a_time_to_come() {
        let clock = ServiceClock::default();
        for ahead in [-1_900, -60_000, 60_000] {
            clock.offset.0.store(ahead, Ordering::Relaxed);
            let (before, ServiceTime { now_ms, passed_ms }, after) = (clock.local_ms(), clock.now(), clock.local_ms());
            assert!((before + ahead..=after + ahead).contains(&passed_ms), "{ahead}");
            let estimate = if ahead == -1_900 { 0 } else { ahead };
            assert!((before + estimate..=after + estimate).contains(&now_ms), "{ahead}");
        }
    }
}
