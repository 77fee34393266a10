//! What sends spans to the collector. A collector that is slow or out of reach costs traces, and delays no batch.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use opentelemetry_otlp::{
    ExporterBuildError, SpanExporter as OtlpExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfig, BatchSpanProcessor, RandomIdGenerator, SpanData, SpanExporter, SpanProcessor as _,
};
use tokio::runtime::Handle;

use crate::client::Client;
use crate::span::BatchTrace;

/// Why no traces can be sent.
#[derive(Debug, thiserror::Error)]
#[error("traces can't be sent to {url}")]
pub struct ExporterError {
    url: String,
    #[source]
    source: ExporterBuildError,
}

/// Sends traces to a collector. Handles share one thread, which ends with the last of them.
#[derive(Clone, Debug)]
pub struct Traces(Arc<BatchSpanProcessor>);

impl Traces {
    /// Starts to send traces to this address, `https://HOST:PORT/v1/traces`, through this connector. `service` is the name
    /// under which traces are found. Other settings, such as headers, are those of OpenTelemetry's environment variables.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn start(url: &str, service: String, connector: SharedHttpConnector) -> Result<Self, ExporterError> {
        let client = Client::new(connector, Handle::current());
        let exporter = OtlpExporter::builder().with_http().with_endpoint(url).with_http_client(client).build();
        let exporter = exporter.map_err(|source| ExporterError { url: url.to_owned(), source })?;
        let mut processor = BatchSpanProcessor::new(Unlogged(exporter), BatchConfig::default());
        processor.set_resource(&Resource::builder().with_service_name(service).build());
        Ok(Self(Arc::new(processor)))
    }

    /// Sends a batch's spans soon. If too many wait already, they are dropped.
    pub fn send(&self, trace: &BatchTrace) {
        for span in trace.spans(&RandomIdGenerator::default()) {
            self.0.on_end(span);
        }
    }

    /// Sends what there is, and waits for it for at most this time.
    pub async fn flush(&self, within: Duration) {
        let processor = Arc::clone(&self.0);
        // The client has logged a failure. It sends in this runtime, whose only thread this may be.
        let flushed = tokio::task::spawn_blocking(move || processor.force_flush());
        let _ = tokio::time::timeout(within, flushed).await;
    }
}

/// An exporter whose failures are not logged by the SDK, which does it for each request of an outage, and without the
/// cause. The [`Client`] logs an outage once.
#[derive(Debug)]
struct Unlogged(OtlpExporter);

impl SpanExporter for Unlogged {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        let exported = self.0.export(batch);
        async {
            let _ = exported.await;
            Ok(())
        }
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}
