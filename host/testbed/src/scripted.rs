//! A service that says what a test wants it to say, for what no local server does: streams that are being created, keys
//! that are refused, shards that have expired.

use std::convert::Infallible;
use std::net::Ipv4Addr;
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

/// What it says: an HTTP status and a JSON document.
pub type Said = (u16, Value);

/// A service that says what a test wants. It stops when dropped.
pub struct Scripted {
    endpoint: String,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Scripted {
    /// Starts it on a free port of 127.0.0.1. `script` is asked for each answer, with the operation's name and what the
    /// request says. `date` is the time by the service's clock, as HTTP writes it; its own where there is none.
    ///
    /// # Panics
    ///
    /// If there is no port.
    pub fn start(date: Option<&str>, script: impl FnMut(&str, &Value) -> Said + Send + 'static) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port of 127.0.0.1");
        let address = listener.local_addr().expect("a bound socket has an address");
        listener.set_nonblocking(true).expect("sockets can be set non-blocking");
        let date = date.map(|date| HeaderValue::from_str(date).expect("a date"));
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

    /// Where it listens.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the script has been printed.
            let _ = thread.join();
        }
    }
}

async fn serve(
    listener: std::net::TcpListener,
    date: Option<HeaderValue>,
    script: impl FnMut(&str, &Value) -> Said + Send + 'static,
) {
    let listener = TcpListener::from_std(listener).expect("a socket that can be polled");
    let script = std::rc::Rc::new(std::cell::RefCell::new(script));
    let local = tokio::task::LocalSet::new();
    let accept = async {
        while let Ok((stream, _)) = listener.accept().await {
            let (script, date) = (script.clone(), date.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (script, date) = (script.clone(), date.clone());
                async move {
                    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
                    let operation = target.and_then(|target| target.rsplit('.').next()).unwrap_or_default().to_owned();
                    let body = request.into_body().collect().await?.to_bytes();
                    let (status, said) =
                        (script.borrow_mut())(&operation, &serde_json::from_slice(&body).unwrap_or_default());
                    let mut answer = Response::new(Full::new(Bytes::from(said.to_string())));
                    *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
                    let headers = answer.headers_mut();
                    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
                    date.map(|date| headers.insert(DATE, date));
                    Ok::<_, hyper::Error>(answer)
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
