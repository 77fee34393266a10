//! The service's clock. Arrival times are by that clock; this machine's may be wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_kinesis::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kinesis::error::BoxError;
use aws_sdk_kinesis::primitives::{DateTime, DateTimeFormat};

/// A smaller difference counts as none: responses carry whole seconds and take some time to arrive.
const NO_DIFFERENCE_MS: i64 = 2_000;

/// The time by the service's clock, from the `Date` of its responses.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceClock(Arc<Offset>);

/// Milliseconds by which the service's clock is ahead of this machine's.
#[derive(Debug, Default)]
struct Offset(AtomicI64);

impl ServiceClock {
    /// Milliseconds since 1970.
    pub(super) fn now_ms(&self) -> i64 {
        local_ms() + self.offset_ms()
    }

    /// Milliseconds by which the service's clock is ahead of this machine's; 0 before the first response.
    pub(super) fn offset_ms(&self) -> i64 {
        self.0.0.load(Ordering::Relaxed)
    }
}

fn local_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
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
            let ahead = date - local_ms();
            self.0.0.store(if ahead.abs() < NO_DIFFERENCE_MS { 0 } else { ahead }, Ordering::Relaxed);
        }
        Ok(())
    }
}
