//! What goes wrong with a stream, by what the caller does about it.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};

use crate::sdk::{self, RequestError, RetryClass, ServiceError, Source};

/// What to do about a refused request.
const PERMISSIONS: &str = "Allow the role this action: docs/operations/permissions.md has the policy of each command and host. \
                           If the stream is encrypted with its own key, allow kms:Decrypt on it to read and \
                           kms:GenerateDataKey to write";

/// What the caller does about a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamErrorKind {
    /// Retry later: the shard or the stream is over a limit. The request had no effect.
    Throttled,
    /// Retry: the request may have had its effect or not.
    Ambiguous,
    /// Get another iterator: this one is too old.
    ExpiredIterator,
    /// Retry later: the resource is being changed, or another reader uses it.
    InUse,
    /// There is no such stream, shard or consumer.
    Missing,
    /// Kinesis does not accept a value of the request, a sequence number for instance.
    Invalid,
    /// Stop: a retry would fail as well until somebody intervenes.
    Fatal,
}

impl StreamErrorKind {
    /// Whether a retry may succeed without intervention.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Throttled | Self::Ambiguous | Self::ExpiredIterator | Self::InUse)
    }
}

/// A failed request.
#[derive(Clone, Debug)]
pub struct StreamError {
    /// What the caller does about it.
    pub kind: StreamErrorKind,
    /// What happened, where, and what to do.
    message: String,
    source: Option<Source>,
}

impl StreamError {
    pub(super) fn new(kind: StreamErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(super) fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for StreamError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

/// A stream's name and location, as requests and messages use them.
#[derive(Clone, Debug)]
pub(super) struct StreamRef {
    pub(super) stream: String,
    /// ` in eu-west-1`, ` at http://localhost:4567`, or both.
    pub(super) location: String,
}

impl fmt::Display for StreamRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stream `{}`{}", self.stream, self.location)
    }
}

impl StreamRef {
    /// An error whose message begins with the stream.
    pub(super) fn error(&self, kind: StreamErrorKind, what: impl fmt::Display) -> StreamError {
        StreamError::new(kind, format!("{self}: {what}"))
    }

    /// The same error with another message.
    pub(super) fn reword(&self, error: StreamError, what: impl fmt::Display) -> StreamError {
        StreamError { source: error.source, ..self.error(error.kind, what) }
    }

    /// Classifies an error of the SDK. `doing` names the request.
    pub(super) fn classify<E>(&self, doing: &str, error: SdkError<E, HttpResponse>) -> StreamError
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        match sdk::classify(doing, "request-ms", error) {
            RequestError::Service(error) => self.classify_service_error(doing, error),
            RequestError::Transport(error) => {
                StreamError { source: error.source, ..self.error(error.class.into(), error.message) }
            }
        }
    }

    /// Classifies an error of Kinesis: the response to a request, or an event of a subscription.
    pub(super) fn classify_service_error(&self, doing: &str, error: ServiceError) -> StreamError {
        let (kind, message) = classify_code(doing, &error);
        self.error(kind, message).with_source(error)
    }
}

fn classify_code(doing: &str, error: &ServiceError) -> (StreamErrorKind, String) {
    match error.name() {
        "ExpiredIterator" => (StreamErrorKind::ExpiredIterator, format!("{doing} used an expired iterator ({error})")),
        "KMSThrottling" => {
            (StreamErrorKind::Throttled, format!("{doing} is throttled by KMS, which holds the stream's key ({error})"))
        }
        "ResourceInUse" => (StreamErrorKind::InUse, format!("{doing} has to wait ({error})")),
        "ResourceNotFound" => (
            StreamErrorKind::Missing,
            format!(
                "{doing} failed because there is no such stream, shard or consumer ({error}). Check the stream's name, \
                 the region and the endpoint"
            ),
        ),
        "AccessDenied" => (StreamErrorKind::Fatal, format!("{doing} is not allowed ({error}). {PERMISSIONS}")),
        name if name.starts_with("KMS") => (
            StreamErrorKind::Fatal,
            format!(
                "{doing} is refused by the key that the stream is encrypted with ({error}). The key has to be enabled, \
                 and its policy and this role's have to allow kms:Decrypt (and kms:GenerateDataKey to write). No \
                 record is lost while the stream keeps it"
            ),
        ),
        "InvalidArgument" | "Validation" | "ValidationError" | "Serialization" => {
            (StreamErrorKind::Invalid, format!("{doing} is not accepted ({error})"))
        }
        _ => {
            let (class, message) = sdk::classify_common(doing, error);
            (class.into(), message)
        }
    }
}

impl From<RetryClass> for StreamErrorKind {
    fn from(class: RetryClass) -> Self {
        match class {
            RetryClass::Throttled => Self::Throttled,
            RetryClass::Ambiguous => Self::Ambiguous,
            RetryClass::Fatal => Self::Fatal,
        }
    }
}

#[cfg(test)]
mod tests {
    use paceline_pipeline::ErrorChain;

    use super::*;

    fn classify(code: &str, status: u16) -> StreamError {
        let stream = StreamRef { stream: "alleycat".into(), location: " in eu-west-1".into() };
        stream.classify_service_error("reading a shard", ServiceError::new(code, Some("why"), status))
    }

    #[test]
    fn codes_are_classified_by_what_the_caller_does() {
        for (code, status, kind) in [
            ("ProvisionedThroughputExceededException", 400, StreamErrorKind::Throttled),
            ("LimitExceededException", 400, StreamErrorKind::Throttled),
            ("KMSThrottlingException", 400, StreamErrorKind::Throttled),
            ("InternalFailure", 500, StreamErrorKind::Ambiguous),
            ("Unheard", 503, StreamErrorKind::Ambiguous),
            ("ExpiredIteratorException", 400, StreamErrorKind::ExpiredIterator),
            ("ResourceInUseException", 400, StreamErrorKind::InUse),
            ("ResourceNotFoundException", 400, StreamErrorKind::Missing),
            ("InvalidArgumentException", 400, StreamErrorKind::Invalid),
            ("AccessDeniedException", 400, StreamErrorKind::Fatal),
            ("KMSDisabledException", 400, StreamErrorKind::Fatal),
            ("ExpiredTokenException", 400, StreamErrorKind::Fatal),
        ] {
            assert_eq!(classify(code, status).kind, kind, "{code}");
        }
    }

    #[test]
    fn a_message_names_the_stream_and_the_remedy() {
        for (code, part) in [
            ("KMSAccessDeniedException", "kms:Decrypt"),
            ("AccessDeniedException", "docs/operations/permissions.md"),
            ("ResourceNotFoundException", "region"),
            ("ExpiredTokenException", "clock"),
        ] {
            let text = classify(code, 400).to_string();
            for part in ["`alleycat` in eu-west-1", "reading a shard", code, part] {
                assert!(text.contains(part), "{text}");
            }
        }
    }

    #[test]
    fn the_response_is_the_source_and_is_shown_once() {
        let error = classify("AccessDeniedException", 400);
        assert_eq!(error.source().unwrap().to_string(), "AccessDeniedException: why");
        assert_eq!(ErrorChain(&error).to_string(), error.to_string());
    }
}
