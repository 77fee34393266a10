//! Connections, and the way of a request: it comes in, its fate is drawn, it is answered or its connection is reset.

use std::future::pending;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::http::request;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use super::body::{AnswerBody, Reset};
use super::call::{Call, Lane, target};
use super::faults::Fate;
use super::{Shared, dynamodb, kinesis};

type Answer = Response<AnswerBody>;

pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>, tls: Option<TlsAcceptor>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connect(stream, shared.clone(), tls.clone()));
            }
            // Out of file descriptors, say: some may be closed meanwhile.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Serves a connection to its end, by TLS or not.
async fn connect(stream: TcpStream, shared: Arc<Shared>, tls: Option<TlsAcceptor>) {
    // Without it a small answer may wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let socket = Socket { stream, reset: reset.clone() };
    match tls {
        None => serve(socket, shared, reset).await,
        // Whoever does not trust the certificate says so itself.
        Some(tls) => {
            if let Ok(stream) = tls.accept(socket).await {
                serve(stream, shared, reset).await;
            }
        }
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    shared: Arc<Shared>,
    reset: Arc<AtomicBool>,
) {
    let lane = Arc::new(Lane::default());
    let cut = Arc::new(Notify::new());
    let cutting = cut.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (shared, lane, cut) = (shared.clone(), lane.clone(), cutting.clone());
        async move {
            let (head, body) = request.into_parts();
            // The caller is gone in the middle of its request: there is nobody to answer.
            let body = body.collect().await.map_err(|_| Reset)?.to_bytes();
            // A task of its own goes on when the caller is gone: what has come in takes effect, as in the real one.
            match tokio::spawn(handle(shared, lane, head, body)).await {
                Ok(Ok(answer)) => Ok::<_, Reset>(answer),
                // HTTP/2 would end the request only. A connection that is reset ends all that are under way on it.
                Ok(Err(Reset)) | Err(_) => {
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
    };
    // The socket is closed with the connection, when this returns: now is the time to say how.
    reset.store(failed, Ordering::Relaxed);
}

async fn handle(shared: Arc<Shared>, lane: Arc<Lane>, head: request::Parts, body: Bytes) -> Result<Answer, Reset> {
    let (service, operation) = target(&head.headers);
    let at_kinesis = service.starts_with("Kinesis");
    let operation = operation.to_owned();
    let plan = shared.arrive(&operation, head.version);
    let mut call = Call { shared, lane, operation, head, body, plan };
    if let Some(delay) = call.plan.delay {
        tokio::time::sleep(delay).await;
    }
    let whole = |answer: Response<Full<Bytes>>| answer.map(AnswerBody::Whole);
    let server_error = |call: &mut Call| {
        let rng = &mut call.plan.rng;
        whole(if at_kinesis { kinesis::server_error(rng) } else { dynamodb::server_error(rng) })
    };
    match call.plan.fate {
        Fate::Throttle if at_kinesis => return Ok(whole(kinesis::throttled(&mut call))),
        Fate::Throttle => return Ok(whole(dynamodb::throttled(&call.operation, &call.body, &mut call.plan.rng))),
        Fate::ErrorBefore => return Ok(server_error(&mut call)),
        Fate::ResetBefore => return Err(Reset),
        Fate::Forward | Fate::ErrorAfter | Fate::ResetAfter => {}
    }
    let answer = if at_kinesis { kinesis::answer(&mut call).await } else { whole(dynamodb::answer(&mut call).await) };
    match call.plan.fate {
        Fate::ErrorAfter => Ok(server_error(&mut call)),
        Fate::ResetAfter => Err(Reset),
        _ => Ok(answer),
    }
}

/// A connection that ends by RST, not FIN, if that is asked for before it is dropped.
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
