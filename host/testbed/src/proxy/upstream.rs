//! Connections to the service behind the proxy.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::http::response;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The service gave no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpstreamError {
    #[error("it can't be reached")]
    Connect(#[from] std::io::Error),
    #[error("the exchange failed")]
    Exchange(#[from] hyper::Error),
}

/// The connections to the service that belong to one of the callers' connections.
#[derive(Default)]
pub(super) struct UpstreamPool {
    /// Those not in use. An HTTP/1.1 caller has one request at a time, so there is at most one; HTTP/2 has many.
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl UpstreamPool {
    fn idle(&self) -> MutexGuard<'_, Vec<SendRequest<Full<Bytes>>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request, over an idle connection if there is one, and reads the whole response.
    pub(super) async fn exchange(
        &self,
        upstream: &str,
        request: Request<Full<Bytes>>,
    ) -> Result<(response::Parts, Bytes), UpstreamError> {
        let idle = self.idle().pop().filter(|sender| !sender.is_closed());
        let (mut sender, response) = match idle {
            None => connect_and_send(upstream, request).await?,
            Some(mut sender) => match sender.try_send_request(request).await {
                Ok(response) => (sender, response),
                // The service closed the connection before the request went out: the request can be sent again.
                Err(mut error) => match error.take_message() {
                    Some(request) => connect_and_send(upstream, request).await?,
                    None => return Err(error.into_error().into()),
                },
            },
        };
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        // Until the connection has seen the end of this response it accepts no other request.
        if sender.ready().await.is_ok() {
            self.idle().push(sender);
        }
        Ok((head, body))
    }
}

/// Sends a request over a new connection.
pub(super) async fn connect_and_send(
    upstream: &str,
    request: Request<Full<Bytes>>,
) -> Result<(SendRequest<Full<Bytes>>, Response<Incoming>), UpstreamError> {
    let stream = TcpStream::connect(upstream).await?;
    let _ = stream.set_nodelay(true);
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    // Its errors are also errors of the response.
    tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    Ok((sender, response))
}
