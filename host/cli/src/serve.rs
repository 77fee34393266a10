//! The HTTP server of a host: `/metrics` for Prometheus, `/healthz` and `/readyz` for supervisors.
//!
//! - this file: the server, and the answers.
//! - `metrics`: the metrics in Prometheus's text format.
//! - `stream`: what `paceline run` answers.
//! - `shard`: what a process of `paceline kcl` answers, which reads one shard.
//! - `together`: the answers of all processes that a daemon has started, at one address.

mod metrics;
mod shard;
mod stream;
mod together;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::rt::{Read, Write};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use paceline_config::AnyStore;
use paceline_dashboard::{Body, Dashboard};
use paceline_pipeline::store::CheckpointStore;
use paceline_pipeline::{ErrorChain, Pipeline};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

pub(crate) use metrics::Metrics;
pub(crate) use shard::{ShardView, ShardWork};
pub(crate) use stream::StreamView;
pub(crate) use together::Together;

/// The store is unreachable if it does not answer within this time.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);
/// More connections wait until others end: each takes a file descriptor, which Kinesis and DynamoDB need as well.
const MAX_CONNECTIONS: usize = 256;
/// A client that sends no request in this time is dropped, also between two requests.
const REQUEST_WITHIN: Duration = Duration::from_secs(30);
/// The wait after a failed accept, for example for lack of file descriptors.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What answers requests.
pub(crate) trait View: Send + Sync + 'static {
    /// All metrics.
    fn metrics(&self) -> impl Future<Output = String> + Send;

    /// Why the host does not work, so that a supervisor should start it anew.
    fn not_alive(&self) -> impl Future<Output = Option<String>> + Send;

    /// Why the host is not ready.
    fn not_ready(&self) -> impl Future<Output = Option<String>> + Send;
}

/// A server. It stops when dropped.
pub(crate) struct Server {
    _serving: AbortOnDropHandle<()>,
}

/// The address of a server that does not answer yet.
pub(crate) struct Listening {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listening {
    /// Listens.
    pub(crate) async fn at(address: SocketAddr) -> anyhow::Result<Self> {
        let failed = || format!("[serve] listen: {address} can't be listened on");
        let listener = TcpListener::bind(address).await.with_context(failed)?;
        let address = listener.local_addr().with_context(failed)?;
        Ok(Self { listener, address })
    }

    /// The address, with the port that was chosen.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers, and logs the address.
    pub(crate) fn serve(self, view: impl View, dashboard: Option<Arc<Dashboard>>) -> Server {
        let Self { listener, address } = self;
        match dashboard {
            Some(_) => tracing::info!(%address, "serving /metrics, /healthz, /readyz and the dashboard at /"),
            None => tracing::info!(%address, "serving /metrics, /healthz and /readyz"),
        }
        let serving = tokio::spawn(accept(listener, Arc::new(view), dashboard));
        Server { _serving: AbortOnDropHandle::new(serving) }
    }
}

/// Serves every connection, so many at a time. It never ends.
async fn accept(listener: TcpListener, view: Arc<impl View>, dashboard: Option<Arc<Dashboard>>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let served = serve(TokioIo::new(stream), Arc::clone(&view), dashboard.clone());
                drop(tokio::spawn(async move {
                    served.await;
                    drop(permit);
                }));
            }
            Err(_) => sleep(ACCEPT_AGAIN_AFTER).await,
        }
    }
}

async fn serve(
    stream: impl Read + Write + Unpin + Send + 'static,
    view: Arc<impl View>,
    dashboard: Option<Arc<Dashboard>>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (view, dashboard) = (Arc::clone(&view), dashboard.clone());
        async move {
            if let Some(dashboard) = dashboard
                && let Some(response) = dashboard.answer(&request).await
            {
                return Ok::<_, Infallible>(response);
            }
            Ok(answer(&*view, request.method(), request.uri().path()).await)
        }
    });
    // A client may close its connection early.
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(REQUEST_WITHIN);
    let _ = server.serve_connection(stream, service).await;
}

async fn answer(view: &impl View, method: &Method, path: &str) -> Response<Body> {
    let unavailable = |what: &str, why: String| (StatusCode::SERVICE_UNAVAILABLE, format!("{what}: {why}\n"));
    let (status, text) = match (method, path) {
        (&Method::GET | &Method::HEAD, "/metrics") => (StatusCode::OK, view.metrics().await),
        (&Method::GET | &Method::HEAD, "/healthz") => match view.not_alive().await {
            None => (StatusCode::OK, "alive\n".to_owned()),
            Some(why) => unavailable("not alive", why),
        },
        (&Method::GET | &Method::HEAD, "/readyz") => match view.not_ready().await {
            None => (StatusCode::OK, "ready\n".to_owned()),
            Some(why) => unavailable("not ready", why),
        },
        (_, "/metrics" | "/healthz" | "/readyz") => {
            (StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are supported\n".to_owned())
        }
        _ => (StatusCode::NOT_FOUND, "not found: the paths are /metrics, /healthz and /readyz\n".to_owned()),
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    // The version is that of Prometheus's text format.
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Why the store does not answer, by reading this checkpoint.
async fn unreachable(pipeline: &Pipeline<AnyStore>, probe: &str) -> Option<String> {
    match timeout(STORE_TIMEOUT, pipeline.store().get_checkpoint(probe)).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(ErrorChain(&error).to_string()),
        Err(_) => Some(format!("the store did not answer in {} s", STORE_TIMEOUT.as_secs())),
    }
}
