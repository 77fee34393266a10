//! One request, and how it is forwarded to the service behind the proxy.

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request;
use hyper::{Request, Response, StatusCode, Uri, Version};
use serde_json::Value;

use super::body::FullResponse;
use super::plan::FaultPlan;
use super::state::ProxyState;
use super::target::{TARGET, target};
use super::upstream::{UpstreamError, UpstreamPool, connect_and_send};

/// A request whose body was read completely.
pub(super) struct Call {
    pub(super) state: Arc<ProxyState>,
    pub(super) upstream: Arc<UpstreamPool>,
    /// For example `PutItem`.
    pub(super) operation: String,
    pub(super) head: request::Parts,
    pub(super) body: Bytes,
    pub(super) plan: FaultPlan,
}

impl Call {
    /// Forwards the request with this body. If the service can't be reached, the response is a 502 with the reason.
    pub(super) async fn forward(&self, body: Bytes) -> FullResponse {
        match self.upstream.exchange(self.state.upstream(), self.request(body)).await {
            Ok((mut head, body)) => {
                remove_connection_headers(&mut head.headers);
                head.headers.remove(header::CONTENT_LENGTH);
                Response::from_parts(head, Full::new(body))
            }
            Err(error) => self.bad_gateway(&error),
        }
    }

    /// Forwards the request over a new connection; the response's body is read as the service sends it.
    pub(super) async fn forward_streaming(&self) -> Result<Response<Incoming>, UpstreamError> {
        let (_, mut response) = connect_and_send(self.state.upstream(), self.request(self.body.clone())).await?;
        remove_connection_headers(response.headers_mut());
        Ok(response)
    }

    /// Sends an additional request with the caller's credentials; its response, unless it fails.
    pub(super) async fn query(&self, operation: &str, body: &Value) -> Option<Value> {
        let (service, _) = target(&self.head.headers);
        let target = HeaderValue::from_str(&format!("{service}.{operation}")).expect("the service was a header value");
        let mut request = self.request(body.to_string().into());
        request.headers_mut().insert(TARGET, target);
        let (head, body) = self.upstream.exchange(self.state.upstream(), request).await.ok()?;
        if head.status == StatusCode::OK { serde_json::from_slice(&body).ok() } else { None }
    }

    /// A copy, without the body, that can outlive the response and has its own connections.
    pub(super) fn fork(&mut self) -> Self {
        Self {
            state: self.state.clone(),
            upstream: Arc::default(),
            operation: self.operation.clone(),
            head: self.head.clone(),
            body: Bytes::new(),
            plan: self.plan.fork(),
        }
    }

    pub(super) fn bad_gateway(&self, error: &dyn Error) -> FullResponse {
        let mut text = format!("the fault proxy got no response from {}: {error}", self.state.upstream());
        let mut source = error.source();
        while let Some(error) = source {
            text.push_str(&format!(": {error}"));
            source = error.source();
        }
        let mut response = Response::new(Full::new(text.into()));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    }

    /// The request for the service, in HTTP/1.1 whatever the caller uses.
    fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut head = self.head.clone();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        head.uri = path.parse().unwrap_or_else(|_| Uri::from_static("/"));
        head.version = Version::HTTP_11;
        remove_connection_headers(&mut head.headers);
        // The proxy must be able to read the response.
        head.headers.remove(header::ACCEPT_ENCODING);
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        if !head.headers.contains_key(header::HOST) {
            let host = HeaderValue::from_str(self.state.upstream()).expect("an address is a valid header value");
            head.headers.insert(header::HOST, host);
        }
        Request::from_parts(head, Full::new(body))
    }
}

/// Removes the headers that belong to one connection and not to the message.
fn remove_connection_headers(headers: &mut HeaderMap) {
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::EXPECT] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}
