//! A server with nothing but the dashboard.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::body::Body;
use crate::dashboard::Dashboard;

/// More connections wait until others end. A browser opens up to six.
const MAX_CONNECTIONS: usize = 256;
/// A client that sends no request in this time is dropped, also between two requests.
const REQUEST_WITHIN: Duration = Duration::from_secs(30);
/// The wait after a failed accept, for example for lack of file descriptors.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Answers requests until `shutdown` is ready. Connections end then.
pub async fn serve(listener: TcpListener, dashboard: Arc<Dashboard>, shutdown: impl Future<Output = ()>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let accept = async {
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let dashboard = Arc::clone(&dashboard);
                    connections.spawn(async move {
                        connection(stream, dashboard).await;
                        drop(permit);
                    });
                }
                Err(_) => sleep(ACCEPT_AGAIN_AFTER).await,
            }
            while connections.try_join_next().is_some() {}
        }
    };
    tokio::select! {
        () = accept => {}
        () = shutdown => {}
    }
}

async fn connection(stream: TcpStream, dashboard: Arc<Dashboard>) {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let dashboard = Arc::clone(&dashboard);
        async move { Ok::<_, Infallible>(dashboard.answer(&request).await.unwrap_or_else(not_found)) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(REQUEST_WITHIN);
    // A client may close its connection early.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

fn not_found() -> Response<Body> {
    let mut response = Response::new(Body::from("not found: the dashboard is at /\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
