//! A service whose every response a test decides, for what no local server does: streams that are being created, keys
//! that are rejected, shards that have expired.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::thread::JoinHandle;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, DATE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// What the service does with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum ScriptedResponse {
    /// It responds with this HTTP status and this JSON document.
    Json(u16, Value),
    /// It closes the connection without a response.
    Cut,
}

impl From<(u16, Value)> for ScriptedResponse {
    fn from((status, body): (u16, Value)) -> Self {
        Self::Json(status, body)
    }
}

/// A running service. It stops when dropped.
pub struct Scripted {
    endpoint: String,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Scripted {
    /// Starts it on a free port of 127.0.0.1. `script` gives each response, from the operation's name and the request's
    /// body. `date` is the time that responses carry, in the format of HTTP; without one it is the machine's.
    ///
    /// # Panics
    ///
    /// If no port is free or `date` is no header value.
    pub fn start<R: Into<ScriptedResponse>>(
        date: Option<&str>,
        mut script: impl FnMut(&str, &Value) -> R + Send + 'static,
    ) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port of 127.0.0.1");
        let address = listener.local_addr().expect("the address of a bound socket");
        listener.set_nonblocking(true).expect("a non-blocking socket");
        let date = date.map(|date| HeaderValue::from_str(date).expect("a date"));
        let script = move |operation: &str, body: &Value| script(operation, body).into();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = serve(listener, date, script) => {}
                }
            });
        });
        Self { endpoint: format!("http://{address}"), stop: Some(stop), thread: Some(thread) }
    }

    /// The address that it listens on: `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the script was printed already.
            let _ = thread.join();
        }
    }
}

/// The script cuts the connection, or the caller closed it.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed without a response")]
struct ConnectionCut;

async fn serve(
    listener: std::net::TcpListener,
    date: Option<HeaderValue>,
    script: impl FnMut(&str, &Value) -> ScriptedResponse + 'static,
) {
    let listener = TcpListener::from_std(listener).expect("a non-blocking socket");
    let script = Rc::new(RefCell::new(script));
    let local = tokio::task::LocalSet::new();
    let accept = async {
        while let Ok((stream, _)) = listener.accept().await {
            let (script, date) = (script.clone(), date.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (script, date) = (script.clone(), date.clone());
                async move {
                    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
                    let operation = target.and_then(|target| target.rsplit('.').next()).unwrap_or_default().to_owned();
                    let body = request.into_body().collect().await.map_err(|_| ConnectionCut)?.to_bytes();
                    let body = serde_json::from_slice(&body).unwrap_or_default();
                    let scripted = (script.borrow_mut())(&operation, &body);
                    let ScriptedResponse::Json(status, body) = scripted else { return Err(ConnectionCut) };
                    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
                    *response.status_mut() = StatusCode::from_u16(status).expect("an HTTP status");
                    let headers = response.headers_mut();
                    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
                    date.map(|date| headers.insert(DATE, date));
                    Ok(response)
                }
            });
            tokio::task::spawn_local(async move {
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    };
    local.run_until(accept).await;
}
