//! Sends `object_store`'s requests through Amazon's HTTP client.

use std::time::Duration;

use async_trait::async_trait;
use aws_smithy_runtime_api::client::http::{HttpConnector as _, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest as SmithyRequest;
use aws_smithy_types::body::SdkBody;
use http::header::{CONTENT_LENGTH, USER_AGENT};
use http::{HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody,
    HttpService,
};
use tokio::time::{Instant, timeout_at};

use crate::sdk;

use super::error::{BucketRef, Rejection};

/// The connect timeout, including TLS. A registry may be in another region: one packet may be lost, and is sent again
/// after a second.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// The time limit of one attempt of a request, to the end of the response, without the time for large objects. S3
/// responds within 200 ms.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// The transfer rate, in bytes a second, that a large object may take its time by: that of a slow mobile line. Rules
/// are small; plugins have up to 20 MB.
const SLOWEST: u64 = 128 << 10;
/// The maximum length of an object, which is in memory as a whole.
const MAX_LENGTH: u64 = 64 << 20;

/// How requests introduce themselves, in the bucket's access log for instance.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("paceline/", env!("CARGO_PKG_VERSION")));

/// Makes [`Service`]s.
#[derive(Debug)]
pub(super) struct Connector {
    bucket: BucketRef,
}

impl Connector {
    pub(super) fn new(bucket: BucketRef) -> Self {
        Self { bucket }
    }
}

impl HttpConnector for Connector {
    /// The options are those of `reqwest`; this module's constants stand for them.
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let connector = sdk::connector(CONNECT_TIMEOUT);
        Ok(HttpClient::new(Service { connector, bucket: self.bucket.clone() }))
    }
}

/// Sends requests. A response is read to its end before it is returned: so one time limit holds for all of it, and what
/// breaks off halfway is retried.
#[derive(Debug)]
struct Service {
    connector: SharedHttpConnector,
    bucket: BucketRef,
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (mut parts, body) = request.into_parts();
        parts.headers.insert(USER_AGENT, AGENT);
        let method = parts.method.clone();
        let doing = doing(&method);
        let body = body.collect().await?.to_bytes();
        let deadline = Instant::now() + REQUEST_TIMEOUT + transfer_time(body.len() as u64);

        let request = HttpRequest::from_parts(parts, HttpRequestBody::empty()).map(|_| SdkBody::from(body));
        let request = SmithyRequest::try_from(request)
            .map_err(|error| HttpError::new(HttpErrorKind::Unknown, self.bucket.not_sent(doing, error)))?;
        let response = timeout_at(deadline, self.connector.call(request))
            .await
            .map_err(|elapsed| HttpError::new(HttpErrorKind::Timeout, self.bucket.timed_out(doing, elapsed)))?
            .map_err(|error| {
                let (kind, failure) = self.bucket.no_response(doing, error);
                HttpError::new(kind, failure)
            })?;
        let response = response
            .try_into_http1x()
            .map_err(|error| HttpError::new(HttpErrorKind::Decode, self.bucket.unreadable(doing, error)))?;

        let (parts, body) = response.into_parts();
        let length = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let deadline = deadline + transfer_time(length.unwrap_or(0));
        // What S3 says about the length of a HEAD's object is not the length of a body.
        if method != Method::HEAD && length > Some(MAX_LENGTH) {
            return Err(HttpError::new(HttpErrorKind::Unknown, self.bucket.too_long(doing, MAX_LENGTH)));
        }
        let body = timeout_at(deadline, Limited::new(body, MAX_LENGTH as usize).collect())
            .await
            .map_err(|elapsed| HttpError::new(HttpErrorKind::Timeout, self.bucket.timed_out(doing, elapsed)))?
            .map_err(|error| HttpError::new(HttpErrorKind::Interrupted, self.bucket.cut_off(doing, error)))?
            .to_bytes();
        let response = HttpResponse::from_parts(parts, HttpResponseBody::from(body.clone()));
        match rejection(&response, &body) {
            Some(rejection) => {
                let (kind, failure) = self.bucket.rejected(doing, rejection);
                Err(HttpError::new(kind, failure))
            }
            None => Ok(response),
        }
    }
}

/// What a request does, for messages.
fn doing(method: &Method) -> &'static str {
    match *method {
        Method::GET | Method::HEAD => "a read",
        Method::DELETE => "a delete",
        _ => "a write",
    }
}

/// The time that a body with so many bytes may take. None for what is polled.
fn transfer_time(length: u64) -> Duration {
    Duration::from_secs(length.min(MAX_LENGTH) / SLOWEST)
}

/// A response whose meaning `object_store` would not show. It knows those that the caller can do something about:
/// success, no such object, a condition that does not hold, and failures that a retry may mend.
fn rejection(response: &HttpResponse, body: &[u8]) -> Option<Rejection> {
    let status = response.status();
    let rejection = Rejection::read(response, body);
    let known = match status {
        StatusCode::NOT_FOUND => !rejection.is_of_bucket(),
        StatusCode::NOT_MODIFIED
        | StatusCode::PRECONDITION_FAILED
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::TOO_MANY_REQUESTS => true,
        _ => status.is_success() || status.is_server_error(),
    };
    (!known).then_some(rejection)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn respond(status: u16, body: &str) -> Option<Rejection> {
        let mut response = HttpResponse::new(HttpResponseBody::from(body.to_owned()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        rejection(&response, body.as_bytes())
    }

    #[test]
    fn responses_that_a_caller_handles_are_passed_on() {
        for status in [200, 206, 304, 404, 408, 412, 429, 500, 503] {
            assert!(respond(status, "<Error><Code>Some</Code></Error>").is_none(), "{status}");
        }
        for status in [301, 307, 400, 401, 403, 409, 416] {
            assert!(respond(status, "").is_some(), "{status}");
        }
    }

    #[test]
    fn a_missing_bucket_is_no_missing_object() {
        assert!(respond(404, "<Error><Code>NoSuchKey</Code></Error>").is_none());
        assert!(respond(404, "<Error><Code>NoSuchBucket</Code></Error>").is_some());
    }

    #[test]
    fn large_objects_have_more_time_up_to_a_limit() {
        assert_eq!(transfer_time(1_000), Duration::ZERO);
        assert_eq!(transfer_time(10 * SLOWEST), Duration::from_secs(10));
        assert_eq!(transfer_time(u64::MAX), transfer_time(MAX_LENGTH));
    }
}
