//! Accepts connections and handles their requests: draws the faults, responds or resets the connection.

use std::future::pending;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::http::request;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::body::{ConnectionReset, FullResponse, ResponseBody};
use super::call::Call;
use super::plan::InjectedFault;
use super::state::ProxyState;
use super::target::target;
use super::upstream::UpstreamPool;
use super::{access, dynamodb, kinesis};

/// Accepts connections until it is dropped.
pub(super) async fn accept(listener: TcpListener, state: Arc<ProxyState>, tls: Option<TlsAcceptor>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connect(stream, state.clone(), tls.clone()));
            }
            // For example because no file descriptor is free: another connection may close in the meantime.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Serves one connection, with TLS or without.
async fn connect(stream: TcpStream, state: Arc<ProxyState>, tls: Option<TlsAcceptor>) {
    // Without it, a small response may wait for the acknowledgement of the previous one.
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let socket = Socket { stream, reset: reset.clone() };
    match tls {
        None => serve(socket, state, reset).await,
        // A client that does not trust the certificate reports the error itself.
        Some(tls) => {
            if let Ok(stream) = tls.accept(socket).await {
                serve(stream, state, reset).await;
            }
        }
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    state: Arc<ProxyState>,
    reset: Arc<AtomicBool>,
) {
    let upstream = Arc::new(UpstreamPool::default());
    let cut = Arc::new(Notify::new());
    let cutting = cut.clone();
    let mut freezes = state.freezes();
    let service = service_fn(move |request: Request<Incoming>| {
        let (state, upstream, cut) = (state.clone(), upstream.clone(), cutting.clone());
        async move {
            let (head, body) = request.into_parts();
            // If the caller closed the connection within its request, nobody waits for a response.
            let body = body.collect().await.map_err(|_| ConnectionReset)?.to_bytes();
            // The task continues when the caller is gone: a complete request takes effect, as in the real services.
            match tokio::spawn(handle_in_time(state, upstream, head, body)).await {
                Ok(Ok(response)) => Ok::<_, ConnectionReset>(response),
                // An error would end only this request in HTTP/2; a reset connection ends all of its requests.
                Ok(Err(ConnectionReset)) | Err(_) => {
                    cut.notify_one();
                    pending().await
                }
            }
        }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service));
    let failed = tokio::select! {
        served = &mut connection => served.is_err(),
        () = cut.notified() => true,
        // Nobody reads from the socket or writes to it any more, and it stays open.
        Ok(()) = freezes.changed() => pending().await,
    };
    // The socket is closed together with the connection, when this function returns.
    reset.store(failed, Ordering::Relaxed);
}

/// Handles a request, and holds its response back until its latency is over.
async fn handle_in_time(
    state: Arc<ProxyState>,
    upstream: Arc<UpstreamPool>,
    head: request::Parts,
    body: Bytes,
) -> Result<Response<ResponseBody>, ConnectionReset> {
    let due = state.faults().latency.map(|latency| Instant::now() + latency);
    let response = handle(state, upstream, head, body).await;
    if let Some(due) = due {
        tokio::time::sleep_until(due).await;
    }
    response
}

async fn handle(
    state: Arc<ProxyState>,
    upstream: Arc<UpstreamPool>,
    head: request::Parts,
    body: Bytes,
) -> Result<Response<ResponseBody>, ConnectionReset> {
    let (service, operation) = target(&head.headers);
    let is_kinesis = service.starts_with("Kinesis");
    let operation = operation.to_owned();
    let plan = state.begin(&operation, head.version);
    state.count(|counts| counts.accesses.extend(access::of(&head, &body)));
    let mut call = Call { state, upstream, operation, head, body, plan };
    if let Some(delay) = call.plan.delay {
        tokio::time::sleep(delay).await;
    }
    let complete = |response: FullResponse| response.map(ResponseBody::Complete);
    let server_error =
        |call: &mut Call| complete(if is_kinesis { kinesis::server_error(call) } else { dynamodb::server_error(call) });
    match call.plan.fault {
        InjectedFault::Throttle if is_kinesis => return Ok(complete(kinesis::throttled(&mut call))),
        InjectedFault::Throttle => return Ok(complete(dynamodb::throttled(&mut call))),
        InjectedFault::ErrorBefore => return Ok(server_error(&mut call)),
        InjectedFault::ResetBefore => return Err(ConnectionReset),
        InjectedFault::None | InjectedFault::ErrorAfter | InjectedFault::ResetAfter => {}
    }
    let response =
        if is_kinesis { kinesis::respond(&mut call).await } else { complete(dynamodb::respond(&mut call).await) };
    if response.status() == StatusCode::NOT_FOUND {
        call.state.count(|counts| counts.accesses.extend(access::of_missing(&call.head)));
    }
    match call.plan.fault {
        InjectedFault::ErrorAfter => Ok(server_error(&mut call)),
        InjectedFault::ResetAfter => Err(ConnectionReset),
        _ => Ok(response),
    }
}

/// A connection that is closed by RST instead of FIN if `reset` is set before it is dropped.
struct Socket {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, to)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
