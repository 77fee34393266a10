//! What a failed request to S3 means: what happened, where, and what to do.

use std::error::Error;
use std::fmt;
use std::io;

use aws_smithy_runtime_api::client::result::ConnectorError;
use object_store::client::{HttpErrorKind, HttpResponse};
use paceline_pipeline::ErrorChain;

use crate::sdk::{self, ServiceError};

/// The permissions that hosts and operators need.
const PERMISSIONS: &str = "A host's role needs s3:GetObject, and s3:ListBucket on the bucket, without which S3 responds \
                           like this for an object that does not exist; who changes rules also needs s3:PutObject. If \
                           the bucket is encrypted with its own key, kms:Decrypt on it to read and \
                           kms:GenerateDataKey to write";
/// The header by which S3 names the bucket's region.
const REGION_HEADER: &str = "x-amz-bucket-region";

/// A bucket's name and location, as messages use them.
#[derive(Clone, Debug)]
pub(super) struct BucketRef {
    bucket: String,
    /// ` in eu-west-1`, or ` in eu-west-1 at http://localhost:9000`.
    location: String,
}

impl fmt::Display for BucketRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the bucket `{}`{}", self.bucket, self.location)
    }
}

/// A request that S3 rejected or that has no response.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct RequestFailure {
    /// What happened, where, and what to do.
    message: String,
    source: Box<dyn Error + Send + Sync>,
}

impl BucketRef {
    pub(super) fn new(bucket: &str, region: &str, endpoint: Option<&str>) -> Self {
        Self { bucket: bucket.to_owned(), location: sdk::location(Some(region), endpoint) }
    }

    fn failure(&self, what: impl fmt::Display, source: impl Into<Box<dyn Error + Send + Sync>>) -> RequestFailure {
        RequestFailure { message: format!("{self}: {what}"), source: source.into() }
    }

    pub(super) fn no_credentials(&self, source: impl Into<Box<dyn Error + Send + Sync>>) -> RequestFailure {
        let source = source.into();
        let (_, message) = sdk::no_credentials("a request", &ErrorChain(&*source).to_string());
        self.failure(message, source)
    }

    pub(super) fn not_sent(&self, doing: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> RequestFailure {
        self.failure(format_args!("{doing} could not be sent. Check the region and the endpoint"), source)
    }

    pub(super) fn timed_out(&self, doing: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> RequestFailure {
        self.failure(format_args!("{doing} timed out. Check the network, the region and the endpoint"), source)
    }

    pub(super) fn unreadable(&self, doing: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> RequestFailure {
        self.failure(format_args!("{doing} got a response that can't be read. Check the endpoint"), source)
    }

    pub(super) fn cut_off(&self, doing: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> RequestFailure {
        self.failure(format_args!("the response to {doing} broke off"), source)
    }

    pub(super) fn too_long(&self, doing: &str, limit: u64) -> RequestFailure {
        let cause = format!("the limit is {} MB", limit >> 20);
        self.failure(format_args!("{doing} got an object that is too large to be one of a registry"), cause)
    }

    /// A request that failed before a response. The kind decides whether `object_store` retries it.
    pub(super) fn no_response(&self, doing: &str, error: ConnectorError) -> (HttpErrorKind, RequestFailure) {
        // The connector's only timeout is that of connecting.
        let kind = if error.is_timeout() || is_refused(&error) {
            HttpErrorKind::Connect
        } else if error.is_io() || error.as_other().is_some() {
            HttpErrorKind::Interrupted
        } else {
            HttpErrorKind::Unknown
        };
        let what = format_args!("{doing} could not reach S3. Check the network, the region and the endpoint");
        (kind, self.failure(what, error))
    }

    pub(super) fn rejected(&self, doing: &str, rejection: Rejection) -> (HttpErrorKind, RequestFailure) {
        let Rejection { error, region } = rejection;
        let what = match error.name() {
            "NoSuchBucket" => format!(
                "{doing} failed because there is no such bucket ({error}). Check its name, the region and the endpoint"
            ),
            "PermanentRedirect"
            | "TemporaryRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraint"
            | "HTTP 301"
            | "HTTP 307" => {
                let region = region.as_deref().unwrap_or("another region");
                format!("{doing} failed because the bucket is in {region} ({error}). Set `region` to the bucket's")
            }
            "AccessDenied" | "AllAccessDisabled" | "HTTP 403" => {
                format!("{doing} is not allowed ({error}). {PERMISSIONS}")
            }
            _ => sdk::classify_common(doing, &error).1,
        };
        let kind = match error.name() {
            // Two requests for one object met. This one had no effect, and S3 asks for another attempt.
            "ConditionalRequestConflict" | "OperationAborted" => HttpErrorKind::Request,
            _ => HttpErrorKind::Unknown,
        };
        (kind, self.failure(what, error))
    }
}

/// Whether the connection was refused, so that the request had no effect.
fn is_refused(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable))
}

/// An error response of S3.
#[derive(Debug)]
pub(super) struct Rejection {
    error: ServiceError,
    /// The bucket's region, if S3 names it.
    region: Option<String>,
}

impl Rejection {
    /// The response to a HEAD has no body; neither have those of proxies, or none that S3 would write.
    pub(super) fn read(response: &HttpResponse, body: &[u8]) -> Self {
        let body = String::from_utf8_lossy(body);
        let status = response.status().as_u16();
        let error = match element(&body, "Code") {
            Some(code) => ServiceError::new(code, element(&body, "Message"), status),
            None => ServiceError::new(&format!("HTTP {status}"), None, status),
        };
        let region = response.headers().get(REGION_HEADER).and_then(|region| region.to_str().ok());
        let region = region.or_else(|| element(&body, "Region")).map(str::to_owned);
        Self { error, region }
    }

    /// Whether it says that the bucket does not exist, rather than an object.
    pub(super) fn is_of_bucket(&self) -> bool {
        self.error.name() == "NoSuchBucket"
    }
}

/// The text of the first element with this name. S3's error documents are flat, and are only shown.
fn element<'a>(document: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = document.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use object_store::client::HttpResponseBody;
    use paceline_pipeline::ErrorChain;

    use super::*;

    fn bucket() -> BucketRef {
        BucketRef::new("rules", "eu-west-1", Some("http://127.0.0.1:9000"))
    }

    fn read(status: u16, body: &str) -> Rejection {
        let mut response = HttpResponse::new(HttpResponseBody::from(body.to_owned()));
        *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
        Rejection::read(&response, body.as_bytes())
    }

    #[test]
    fn a_message_names_the_bucket_what_s3_said_and_the_remedy() {
        for (status, code, part) in [
            (404, "NoSuchBucket", "Check its name"),
            (403, "AccessDenied", "s3:ListBucket"),
            (403, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
            (403, "SignatureDoesNotMatch", "clock"),
            (400, "ExpiredToken", "Renew"),
            (403, "RequestTimeTooSkewed", "clock"),
            (400, "AuthorizationHeaderMalformed", "us-west-2"),
            (301, "PermanentRedirect", "us-west-2"),
            (400, "SomethingNew", "failed"),
        ] {
            let body = format!(
                "<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>why</Message><Region>us-west-2</Region>\
                 <RequestId>1</RequestId></Error>"
            );
            let (kind, failure) = bucket().rejected("a read", read(status, &body));
            let text = failure.to_string();
            let said = format!("{code}: why");
            for part in ["the bucket `rules` in eu-west-1 at http://127.0.0.1:9000: a read", &said, part] {
                assert!(text.contains(part), "{text}");
            }
            assert_eq!(failure.source().unwrap().to_string(), said);
            assert_eq!(ErrorChain(&failure).to_string(), text);
            assert_eq!(kind, HttpErrorKind::Unknown);
        }
    }

    #[test]
    fn a_response_without_a_body_is_known_by_its_status() {
        for (status, part) in [(403, "s3:GetObject"), (301, "another region"), (400, "HTTP 400")] {
            let (_, failure) = bucket().rejected("a read", read(status, ""));
            assert!(failure.to_string().contains(part), "{failure}");
        }
    }

    #[test]
    fn a_write_that_met_another_is_tried_again() {
        let body = "<Error><Code>ConditionalRequestConflict</Code><Message>why</Message></Error>";
        assert_eq!(bucket().rejected("a write", read(409, body)).0, HttpErrorKind::Request);
    }

    #[test]
    fn only_a_request_that_was_not_sent_is_retried_whatever_it_does() {
        let io = |kind: io::ErrorKind| ConnectorError::io(Box::new(io::Error::from(kind)));
        for (error, kind) in [
            (io(io::ErrorKind::ConnectionRefused), HttpErrorKind::Connect),
            (io(io::ErrorKind::ConnectionReset), HttpErrorKind::Interrupted),
            (ConnectorError::timeout("slow".into()), HttpErrorKind::Connect),
            (ConnectorError::user("bad".into()), HttpErrorKind::Unknown),
        ] {
            let (found, failure) = bucket().no_response("a write", error);
            assert_eq!(found, kind, "{failure:?}");
            assert!(failure.to_string().contains("could not reach S3"), "{failure}");
        }
    }
}
