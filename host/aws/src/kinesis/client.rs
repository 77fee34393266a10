//! A client of one stream.

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::StalledStreamProtectionConfig;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use paceline_pipeline::Clock;

use super::clock::ServiceClock;
use super::config::KinesisConfig;
use super::error::{StreamError, StreamErrorKind, StreamRef};
use super::polled_stream::{PolledStream, Refusal};
use crate::sdk::{self, ServiceError};

/// How long connecting may take. Within a region it takes a millisecond; a lost packet is sent again after one second.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A stream and the client that reaches it.
#[derive(Clone, Debug)]
pub struct Stream {
    pub(super) service: Service,
    pub(super) stream_ref: StreamRef,
    pub(super) clock: ServiceClock,
    /// Whether each subscription has a connection of its own: unless the caller provides the HTTP.
    own_connections: bool,
}

/// Where a stream is.
#[derive(Clone, Debug)]
pub(super) enum Service {
    Kinesis(Client),
    Other(Arc<dyn PolledStream>),
}

impl Stream {
    /// A stream in another place than Kinesis, which can be polled. `clock` is this machine's.
    pub fn polled(stream: Arc<dyn PolledStream>, name: &str, clock: Clock) -> Self {
        let stream_ref = StreamRef { stream: name.to_owned(), location: String::new() };
        Self { service: Service::Other(stream), stream_ref, clock: ServiceClock::new(clock), own_connections: false }
    }

    /// Settings for a subscription to a shard. A connection has a limit of subscriptions, which is Kinesis's and not
    /// known; those beyond it would wait for ever. It also has a window for bytes under way: a shard that waits for its
    /// store would take that of all others.
    pub(super) fn subscription(&self) -> Option<aws_sdk_kinesis::config::Builder> {
        self.own_connections.then(|| aws_sdk_kinesis::Config::builder().http_client(sdk::client()))
    }

    /// The client of Kinesis, which every request needs that is not made in polling.
    pub(super) fn client(&self) -> Result<&Client, StreamError> {
        match &self.service {
            Service::Kinesis(client) => Ok(client),
            Service::Other(_) => Err(self.stream_ref.error(StreamErrorKind::Fatal, "it can only be polled")),
        }
    }

    /// The answer of a stream in another place than Kinesis.
    pub(super) fn answer<T>(
        &self,
        doing: &str,
        stream: &dyn PolledStream,
        answer: Result<T, Refusal>,
    ) -> Result<T, StreamError> {
        self.clock.observe(stream.now_ms());
        answer.map_err(|Refusal { code, status }| {
            self.stream_ref.classify_service_error(doing, ServiceError::new(code, None, status))
        })
    }

    /// Loads region and credentials; sends no request to Kinesis yet.
    ///
    /// The client makes one attempt per call: the caller knows what a failure means and when to retry.
    pub async fn connect(config: &KinesisConfig) -> Result<Self, StreamError> {
        if config.stream.is_empty() {
            let message = "no stream is configured: set `stream` in [source.kinesis]";
            return Err(StreamError::new(StreamErrorKind::Fatal, message));
        }
        let loaded = sdk::load(config.region.as_deref(), config.endpoint.as_deref(), "`region` beside `stream`").await;
        let loaded = loaded.map_err(|error| StreamError::new(StreamErrorKind::Fatal, error.to_string()))?;
        Ok(Self { own_connections: true, ..Self::connect_by(&loaded, config, Clock::Machine) })
    }

    /// As [`Stream::connect`], by what is loaded already: region, endpoint, credentials, HTTP and clock. `clock` is this
    /// machine's.
    pub fn connect_by(shared: &SdkConfig, config: &KinesisConfig, clock: Clock) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(Duration::from_millis(config.request_ms.max(1)))
            .build();
        let clock = ServiceClock::new(clock);
        // Only calls of Kinesis get these limits: requests for credentials go elsewhere and may take longer.
        let settings = aws_sdk_kinesis::config::Builder::from(shared)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .interceptor(clock.clone());
        let client = Client::from_conf(settings.build());
        let region = client.config().region().map(ToString::to_string);
        let location = sdk::location(region.as_deref(), config.endpoint.as_deref());
        let stream_ref = StreamRef { stream: config.stream.clone(), location };
        Self { service: Service::Kinesis(client), stream_ref, clock, own_connections: false }
    }
}
