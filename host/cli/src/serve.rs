//! What others see of a running consumer, over HTTP: `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever
//! looks after the process.
//!
//! - `metrics`: the numbers.

mod metrics;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use paceline_aws::kinesis::{Consumer, Status};
use paceline_config::AnyStore;
use paceline_pipeline::{Pipeline, Store};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

pub(crate) use metrics::Metrics;

use crate::Failure;

/// How long the store may take to be called reachable.
const STORE_PATIENCE: Duration = Duration::from_secs(2);
/// How long the server leaves its port alone when it can't take connections, for want of file descriptors, say.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// A server that ends when dropped.
pub(crate) struct Server {
    _serving: AbortOnDropHandle<()>,
}

struct Shared {
    status: Arc<Status>,
    pipeline: Arc<Pipeline<AnyStore>>,
    /// A checkpoint that is asked for to learn whether the store is there.
    initial_position: String,
    metrics: Metrics,
}

impl Server {
    /// Listens, and says where.
    pub(crate) async fn start(
        address: SocketAddr,
        consumer: &Consumer,
        pipeline: Arc<Pipeline<AnyStore>>,
        metrics: Metrics,
    ) -> Result<Self, Failure> {
        let cannot = |error| format!("[serve] listen: {address} can't be listened on: {error}");
        let listener = TcpListener::bind(address).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        tracing::info!(%address, "serving /metrics, /healthz and /readyz");
        let shared = Arc::new(Shared {
            status: consumer.status(),
            pipeline,
            initial_position: consumer.initial_position(),
            metrics,
        });
        let serving = tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => drop(tokio::spawn(serve(stream, Arc::clone(&shared)))),
                    Err(_) => sleep(ACCEPT_AGAIN).await,
                }
            }
        });
        Ok(Self { _serving: AbortOnDropHandle::new(serving) })
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(shared.answer(request.method(), request.uri().path()).await) }
    });
    // Whoever hangs up early has its reasons.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

impl Shared {
    async fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let (status, text) = match (method, path) {
            (&Method::GET | &Method::HEAD, "/metrics") => {
                (StatusCode::OK, self.metrics.render(&self.status, self.pipeline.store()))
            }
            (&Method::GET | &Method::HEAD, "/healthz") => (StatusCode::OK, "alive\n".to_owned()),
            (&Method::GET | &Method::HEAD, "/readyz") => match self.trouble().await {
                None => (StatusCode::OK, "ready\n".to_owned()),
                Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
            },
            (_, "/metrics" | "/healthz" | "/readyz") => (StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned()),
            _ => (StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz\n".to_owned()),
        };
        let mut response = Response::new(Full::new(text.into()));
        *response.status_mut() = status;
        // The version is that of Prometheus's text format.
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }

    /// Why the consumer is not doing its work; nothing where it is.
    async fn trouble(&self) -> Option<String> {
        if let Some(trouble) = self.status.trouble() {
            return Some(trouble);
        }
        match timeout(STORE_PATIENCE, self.pipeline.store().checkpoint(&self.initial_position)).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("the store did not answer in {} s", STORE_PATIENCE.as_secs())),
        }
    }
}
