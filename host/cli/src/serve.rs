//! The HTTP server of a running consumer: `/metrics` for Prometheus, `/healthz` and `/readyz` for supervisors.
//!
//! - `metrics`: the metrics in Prometheus's text format.

mod metrics;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use paceline_aws::kinesis::{Consumer, Status};
use paceline_config::AnyStore;
use paceline_pipeline::store::CheckpointStore;
use paceline_pipeline::{ErrorChain, Pipeline};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

pub(crate) use metrics::Metrics;

/// The store is unreachable if it does not answer within this time.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);
/// The wait after a failed accept, for example for lack of file descriptors.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// A server. It stops when dropped.
pub(crate) struct Server {
    _serving: AbortOnDropHandle<()>,
}

/// What answers requests.
struct Responder {
    status: Arc<Status>,
    pipeline: Arc<Pipeline<AnyStore>>,
    /// The checkpoint that is read to learn whether the store is reachable.
    probe: String,
    metrics: Metrics,
}

impl Server {
    /// Listens and logs the address.
    pub(crate) async fn start(
        address: SocketAddr,
        consumer: &Consumer,
        pipeline: Arc<Pipeline<AnyStore>>,
        metrics: Metrics,
    ) -> anyhow::Result<Self> {
        let failed = || format!("[serve] listen: {address} can't be listened on");
        let listener = TcpListener::bind(address).await.with_context(failed)?;
        let address = listener.local_addr().with_context(failed)?;
        tracing::info!(%address, "serving /metrics, /healthz and /readyz");
        let responder =
            Arc::new(Responder { status: consumer.status(), pipeline, probe: consumer.initial_position(), metrics });
        let serving = tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => drop(tokio::spawn(serve(stream, Arc::clone(&responder)))),
                    Err(_) => sleep(ACCEPT_AGAIN_AFTER).await,
                }
            }
        });
        Ok(Self { _serving: AbortOnDropHandle::new(serving) })
    }
}

async fn serve(stream: TcpStream, responder: Arc<Responder>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let responder = Arc::clone(&responder);
        async move { Ok::<_, Infallible>(responder.answer(request.method(), request.uri().path()).await) }
    });
    // A client may close its connection early.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

impl Responder {
    async fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let (status, text) = match (method, path) {
            (&Method::GET | &Method::HEAD, "/metrics") => {
                (StatusCode::OK, self.metrics.render(&self.status, self.pipeline.store()))
            }
            (&Method::GET | &Method::HEAD, "/healthz") => (StatusCode::OK, "alive\n".to_owned()),
            (&Method::GET | &Method::HEAD, "/readyz") => match self.not_ready().await {
                None => (StatusCode::OK, "ready\n".to_owned()),
                Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
            },
            (_, "/metrics" | "/healthz" | "/readyz") => {
                (StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are supported\n".to_owned())
            }
            _ => (StatusCode::NOT_FOUND, "not found: the paths are /metrics, /healthz and /readyz\n".to_owned()),
        };
        let mut response = Response::new(Full::new(text.into()));
        *response.status_mut() = status;
        // The version is that of Prometheus's text format.
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }

    /// Why the consumer is not ready; `None` if every shard is being read and the store answers.
    async fn not_ready(&self) -> Option<String> {
        if let Some(trouble) = self.status.trouble() {
            return Some(trouble);
        }
        match timeout(STORE_TIMEOUT, self.pipeline.store().get_checkpoint(&self.probe)).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(ErrorChain(&error).to_string()),
            Err(_) => Some(format!("the store did not answer in {} s", STORE_TIMEOUT.as_secs())),
        }
    }
}
