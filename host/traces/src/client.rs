//! Sends the exporter's requests through Amazon's HTTP client, and says when the collector is out of reach.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_smithy_runtime_api::client::http::{HttpConnector as _, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use http_body_util::{BodyExt as _, Limited};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::runtime::Handle;

/// The time limit of a request, to the end of the response: OTLP's default.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum length of a response. It says how many spans were refused.
const MAX_RESPONSE: usize = 1 << 20;

/// The HTTP client of an exporter. The exporter's own thread has no runtime, so that requests are sent in the host's.
#[derive(Debug)]
pub(crate) struct Client {
    connector: SharedHttpConnector,
    runtime: Handle,
    /// Whether the last request failed: an outage is logged once.
    failed: AtomicBool,
}

impl Client {
    pub(crate) fn new(connector: SharedHttpConnector, runtime: Handle) -> Self {
        Self { connector, runtime, failed: AtomicBool::new(false) }
    }

    /// Logs that an outage begins.
    fn note(&self, url: &str, failure: Option<&str>) {
        let failed_before = self.failed.swap(failure.is_some(), Ordering::Relaxed);
        if let (Some(failure), false) = (failure, failed_before) {
            tracing::warn!(
                "the collector takes no traces: POST {url}: {failure}. They are sent again up to three times, then lost; \
                 check the address and OTEL_EXPORTER_OTLP_HEADERS"
            );
        }
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let url = request.uri().to_string();
        let connector = self.connector.clone();
        let sending = async { tokio::time::timeout(TIMEOUT, send(connector, request)).await };
        let result = match self.runtime.spawn(sending).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(format!("no response within {} s", TIMEOUT.as_secs()).into()),
            Err(stopped) => Err(stopped.into()),
        };
        match &result {
            Ok(response) if response.status().is_success() => self.note(&url, None),
            Ok(response) => self.note(&url, Some(&format!("it answered {}", response.status()))),
            Err(error) => self.note(&url, Some(&with_sources(&**error))),
        }
        result
    }
}

async fn send(connector: SharedHttpConnector, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let request = HttpRequest::try_from(request.map(SdkBody::from))?;
    let (parts, body) = connector.call(request).await?.try_into_http1x()?.into_parts();
    let body = Limited::new(body, MAX_RESPONSE).collect().await?.to_bytes();
    Ok(Response::from_parts(parts, body))
}

fn with_sources(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
