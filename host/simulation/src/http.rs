//! The AWS SDK over connections in memory: its HTTP client, clock, timers and credentials are replaced.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{AsyncSleep, SharedAsyncSleep, Sleep};
use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use aws_types::region::Region;
use paceline_pipeline::Clock;
use serde_json::Value;

use crate::dynamodb::{Answer, Certain, Database};
use crate::request::Request;

/// What is at the other end of a connection.
pub(crate) trait Service: fmt::Debug + Send + Sync + 'static {
    /// Answers a request, or does not.
    fn answer(self: Arc<Self>, request: Request) -> impl Future<Output = Result<HttpResponse, ConnectorError>> + Send;
}

/// The SDK's configuration for clients of this service, by this clock.
pub(crate) fn sdk(service: Arc<impl Service>, clock: Clock) -> SdkConfig {
    let credentials = Credentials::new("AKIDSIMULATION", "secret", None, None, "simulation");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::from_static("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(SharedHttpClient::new(Connection(service)))
        .sleep_impl(SharedAsyncSleep::new(Timers))
        .time_source(SharedTimeSource::new(TimeOfDay(clock)))
        .build()
}

/// A response in the JSON of the services.
pub(crate) fn response(status: u16, body: Vec<u8>) -> HttpResponse {
    let status = status.try_into().expect("it is a status of HTTP");
    HttpResponse::new(status, SdkBody::from(body))
}

/// DynamoDB without faults, for those who look at the tables from outside.
impl Service for Database {
    async fn answer(self: Arc<Self>, request: Request) -> Result<HttpResponse, ConnectorError> {
        let Answer { status, body } = self.execute(&request, &Certain);
        Ok(response(status, body.to_string().into_bytes()))
    }
}

struct Connection<S>(Arc<S>);

impl<S> Clone for Connection<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Service> fmt::Debug for Connection<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connection").field(&self.0).finish()
    }
}

impl<S: Service> HttpClient for Connection<S> {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl<S: Service> HttpConnector for Connection<S> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let parsed = parse(&request);
        let service = Arc::clone(&self.0);
        HttpConnectorFuture::new(async move {
            let request = parsed.ok_or_else(|| ConnectorError::user("not a request in JSON".into()))?;
            service.answer(request).await
        })
    }
}

/// `DynamoDB_20120810.PutItem` and a body.
fn parse(request: &HttpRequest) -> Option<Request> {
    let (_, operation) = request.headers().get("x-amz-target")?.rsplit_once('.')?;
    let body: Value = serde_json::from_slice(request.body().bytes()?).ok()?;
    Some(Request { operation: operation.to_owned(), body })
}

/// Timers of the run's clock.
#[derive(Debug)]
struct Timers;

impl AsyncSleep for Timers {
    fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(tokio::time::sleep(duration))
    }
}

#[derive(Debug)]
struct TimeOfDay(Clock);

impl TimeSource for TimeOfDay {
    fn now(&self) -> SystemTime {
        self.0.now()
    }
}
