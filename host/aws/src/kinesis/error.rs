//! What goes wrong with a stream, by what is to be done about it.

use std::error::Error;
use std::fmt;

use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};

use crate::sdk::{self, Failed, RetryClass, ServiceError};

/// What a reader has to be allowed to do.
const PERMISSIONS: &str = "kinesis:DescribeStreamSummary, ListShards, GetShardIterator and GetRecords; for \
                           `consumer = \"fan-out\"` also DescribeStreamConsumer, RegisterStreamConsumer and \
                           SubscribeToShard; a producer needs PutRecords and ListShards; where the stream is encrypted \
                           with a key of its own, kms:Decrypt on it to read and kms:GenerateDataKey to write";

/// What is to be done about a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamErrorKind {
    /// Try again later: too much is asked of the shard or the stream. Nothing was done.
    Throttled,
    /// Try again: it may have been done or not.
    Ambiguous,
    /// The iterator is too old. Get another one.
    ExpiredIterator,
    /// Something or somebody else has it in use; later it may be free.
    InUse,
    /// There is no such stream, shard or consumer.
    Missing,
    /// Kinesis does not take what the request says, a sequence number for instance.
    Invalid,
    /// Don't try again: somebody has to do something first.
    Fatal,
}

impl StreamErrorKind {
    /// Whether it may pass by itself.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Throttled | Self::Ambiguous | Self::ExpiredIterator | Self::InUse)
    }
}

/// A failed request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct StreamError {
    /// What is to be done about it.
    pub kind: StreamErrorKind,
    /// What happened, where, and what to do.
    pub text: String,
}

/// A stream, as messages name it.
#[derive(Clone, Debug)]
pub(super) struct StreamRef {
    pub(super) stream: String,
    /// ` in eu-west-1`, ` at http://localhost:4567`, or both.
    pub(super) place: String,
}

impl fmt::Display for StreamRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stream `{}`{}", self.stream, self.place)
    }
}

impl StreamRef {
    /// An error with the stream in its message.
    pub(super) fn error(&self, kind: StreamErrorKind, what: impl fmt::Display) -> StreamError {
        StreamError { kind, text: format!("{self}: {what}") }
    }

    /// Sorts what the SDK says.
    pub(super) fn classify<E>(&self, doing: &str, error: &SdkError<E, HttpResponse>) -> StreamError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        match sdk::classify(doing, "request-ms", error) {
            Failed::ServiceError(told) => self.classify_service_error(doing, &told),
            Failed::Sorted(class, text) => self.error(class.into(), text),
        }
    }

    /// Sorts what Kinesis says: of a request, or as an event of a subscription.
    pub(super) fn classify_service_error(&self, doing: &str, told: &ServiceError) -> StreamError {
        let ServiceError { code, message, .. } = told;
        match told.short() {
            "ExpiredIterator" => self.error(
                StreamErrorKind::ExpiredIterator,
                format_args!("{doing} came too late for its iterator: {message}"),
            ),
            "KMSThrottling" => self.error(
                StreamErrorKind::Throttled,
                format_args!("{doing} is throttled by the service that keeps the stream's key ({code}): {message}"),
            ),
            "ResourceInUse" => {
                self.error(StreamErrorKind::InUse, format_args!("{doing} has to wait ({code}): {message}"))
            }
            "ResourceNotFound" => self.error(
                StreamErrorKind::Missing,
                format_args!("{doing} finds nothing: {message}. Are its name, the region and the endpoint right?"),
            ),
            "AccessDenied" => self.error(
                StreamErrorKind::Fatal,
                format_args!("{doing} is not allowed: {message}. What is needed: {PERMISSIONS}"),
            ),
            kms if kms.starts_with("KMS") => self.error(
                StreamErrorKind::Fatal,
                format_args!(
                    "{doing} is refused by the key that the stream is encrypted with ({code}): {message}. The key has \
                     to be enabled, and its policy and this role's have to allow kms:Decrypt (and kms:GenerateDataKey \
                     to write). Nothing is lost as long as the stream keeps its records"
                ),
            ),
            "InvalidArgument" | "Validation" | "ValidationError" | "Serialization" => {
                self.error(StreamErrorKind::Invalid, format_args!("{doing} is not accepted ({code}): {message}"))
            }
            _ => {
                let (class, text) = sdk::common(doing, told);
                self.error(class.into(), text)
            }
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
    use super::*;

    fn classify(code: &str, status: u16) -> StreamError {
        let stream = StreamRef { stream: "alleycat".into(), place: " in eu-west-1".into() };
        stream.classify_service_error("reading a shard", &ServiceError::new(code, Some("why"), status))
    }

    #[test]
    fn what_passes_is_tried_again_and_what_does_not_is_told() {
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
    fn a_message_says_which_stream_and_what_to_do() {
        for (code, part) in [
            ("KMSAccessDeniedException", "kms:Decrypt"),
            ("AccessDeniedException", "kinesis:DescribeStreamSummary"),
            ("ResourceNotFoundException", "region"),
            ("ExpiredTokenException", "clock"),
        ] {
            let text = classify(code, 400).text;
            for part in ["`alleycat` in eu-west-1", "reading a shard", part]
                .iter()
                .filter(|part| code != "ExpiredTokenException" || !part.starts_with("reading"))
            {
                assert!(text.contains(part), "{text}");
            }
        }
    }
}
