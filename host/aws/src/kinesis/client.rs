//! How Kinesis is reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents, StalledStreamProtectionConfig};
use aws_sdk_kinesis::error::BoxError;
use aws_sdk_kinesis::primitives::{DateTime, DateTimeFormat};

use super::config::KinesisConfig;
use super::error::{StreamError, StreamErrorKind, StreamRef};
use crate::sdk;

/// How long connecting may take. Within a region it takes a millisecond; a lost packet is sent again after one second.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A stream that can be asked.
#[derive(Clone, Debug)]
pub struct Stream {
    pub(super) client: Client,
    pub(super) named: StreamRef,
    pub(super) clock: ServiceClock,
}

impl Stream {
    /// Finds out region and credentials; sends no request to Kinesis yet.
    ///
    /// Its client makes one attempt a call: whoever calls knows what a failure means, and when to try again.
    pub async fn connect(config: &KinesisConfig) -> Result<Self, StreamError> {
        let broken = |text: String| StreamError { kind: StreamErrorKind::Fatal, text };
        if config.stream.is_empty() {
            return Err(broken("no stream is named: set `stream` in [source.kinesis]".to_owned()));
        }
        let loaded = sdk::load(config.region.as_deref(), config.endpoint.as_deref(), "stream").await;
        let shared = loaded.map_err(broken)?;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(Duration::from_millis(config.request_ms.max(1)))
            .build();
        let clock = ServiceClock::default();
        // Only calls of Kinesis get these limits: credentials come from elsewhere, and may take longer.
        let settings = aws_sdk_kinesis::config::Builder::from(&shared)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .interceptor(clock.clone());
        let client = Client::from_conf(settings.build());
        let region = client.config().region().map(ToString::to_string);
        let place = sdk::place(region.as_deref(), config.endpoint.as_deref());
        Ok(Self { client, named: StreamRef { stream: config.stream.clone(), place }, clock })
    }
}

/// The time by the service's clock, as the answers tell it. Arrival times are by that clock, too; this machine's may be
/// wrong.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceClock(Arc<Offset>);

/// How many milliseconds the service is ahead of this machine.
#[derive(Debug, Default)]
struct Offset(AtomicI64);

/// The answers' dates have whole seconds, and an answer is under way for a while: what differs by less is no difference.
const NO_DIFFERENCE_MS: i64 = 2_000;

impl ServiceClock {
    /// Milliseconds since 1970.
    pub(super) fn now_ms(&self) -> i64 {
        local_ms() + self.offset_ms()
    }

    /// How far ahead of this machine's clock the service's is, as far as the answers so far tell.
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
