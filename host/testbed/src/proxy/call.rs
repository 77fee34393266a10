//! A request on its way, and how it goes on to the service behind.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::{request, response};
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::faults::Plan;
use super::{Shared, lock};

/// Where a request says what it is for: `DynamoDB_20120810.PutItem`.
const TARGET: &str = "x-amz-target";

/// Why there is no answer.
pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A request that has come in whole.
pub(super) struct Call {
    pub(super) shared: Arc<Shared>,
    pub(super) lane: Arc<Lane>,
    /// `PutItem`, say.
    pub(super) operation: String,
    pub(super) head: request::Parts,
    pub(super) body: Bytes,
    /// What was drawn for it.
    pub(super) plan: Plan,
}

/// The service and the operation that a request is for: the two parts of `DynamoDB_20120810.PutItem`.
pub(super) fn target(headers: &HeaderMap) -> (&str, &str) {
    let target = headers.get(TARGET).and_then(|target| target.to_str().ok()).unwrap_or_default();
    target.rsplit_once('.').unwrap_or_default()
}

impl Call {
    /// The service's answer to this request with another body, perhaps; of a service out of reach, 502 with the reason.
    pub(super) async fn forward(&self, body: Bytes) -> Response<Full<Bytes>> {
        match self.lane.exchange(&self.shared.upstream, self.request(body)).await {
            Ok((mut head, answer)) => {
                strip(&mut head.headers);
                head.headers.remove(header::CONTENT_LENGTH);
                Response::from_parts(head, Full::new(answer))
            }
            Err(error) => self.out_of_reach(&error),
        }
    }

    /// Likewise, but the answer's body comes as the service sends it. It has a connection of its own.
    pub(super) async fn open(&self) -> Result<Response<Incoming>, Failure> {
        let (_, mut answer) = send_anew(&self.shared.upstream, self.request(self.body.clone())).await?;
        strip(answer.headers_mut());
        Ok(answer)
    }

    /// A question of the proxy's own, in the caller's name: its answer, unless it fails.
    pub(super) async fn ask(&self, operation: &str, question: &Value) -> Option<Value> {
        let (service, _) = target(&self.head.headers);
        let target = HeaderValue::from_str(&format!("{service}.{operation}")).expect("it was a header's value");
        let mut request = self.request(question.to_string().into());
        request.headers_mut().insert(TARGET, target);
        let (head, answer) = self.lane.exchange(&self.shared.upstream, request).await.ok()?;
        if head.status == StatusCode::OK { serde_json::from_slice(&answer).ok() } else { None }
    }

    /// A copy that outlives the answer, with an own way to the service.
    pub(super) fn another(&mut self) -> Self {
        Self {
            shared: self.shared.clone(),
            lane: Arc::default(),
            operation: self.operation.clone(),
            head: self.head.clone(),
            body: Bytes::new(),
            plan: self.plan.another(),
        }
    }

    pub(super) fn out_of_reach(&self, error: &Failure) -> Response<Full<Bytes>> {
        let text = format!("the fault proxy got no answer from {}: {error}", self.shared.upstream);
        let mut answer = Response::new(Full::new(text.into()));
        *answer.status_mut() = StatusCode::BAD_GATEWAY;
        answer
    }

    /// The request as the service gets it: by HTTP/1.1, whatever it came by.
    fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut head = self.head.clone();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        head.uri = path.parse().unwrap_or_else(|_| Uri::from_static("/"));
        head.version = Version::HTTP_11;
        strip(&mut head.headers);
        // What comes back must be readable here.
        head.headers.remove(header::ACCEPT_ENCODING);
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        if !head.headers.contains_key(header::HOST) {
            let host = HeaderValue::from_str(&self.shared.upstream).expect("an address has no odd characters");
            head.headers.insert(header::HOST, host);
        }
        Request::from_parts(head, Full::new(body))
    }
}

/// Removes what belongs to one connection and not to the message.
fn strip(headers: &mut HeaderMap) {
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::EXPECT] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}

/// The way to the service that belongs to one of the callers' connections.
#[derive(Default)]
pub(super) struct Lane {
    /// Those not in use. HTTP/1.1 has one request at a time, so there is one at most; HTTP/2 has many.
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Lane {
    async fn exchange(
        &self,
        upstream: &str,
        request: Request<Full<Bytes>>,
    ) -> Result<(response::Parts, Bytes), Failure> {
        let kept = lock(&self.idle).pop().filter(|sender| !sender.is_closed());
        let (mut sender, answer) = match kept {
            None => send_anew(upstream, request).await?,
            Some(mut sender) => match sender.try_send_request(request).await {
                Ok(answer) => (sender, answer),
                // The connection was closed at the other end before the request went out: it is whole.
                Err(mut error) => match error.take_message() {
                    Some(request) => send_anew(upstream, request).await?,
                    None => return Err(error.into_error().into()),
                },
            },
        };
        let (parts, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        // Until the connection has seen the end of this answer it takes no other request.
        if sender.ready().await.is_ok() {
            lock(&self.idle).push(sender);
        }
        Ok((parts, body))
    }
}

async fn send_anew(
    upstream: &str,
    request: Request<Full<Bytes>>,
) -> Result<(SendRequest<Full<Bytes>>, Response<Incoming>), Failure> {
    let stream = TcpStream::connect(upstream).await?;
    let _ = stream.set_nodelay(true);
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    // Its errors reach the one who waits for the answer.
    tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    Ok((sender, answer))
}
