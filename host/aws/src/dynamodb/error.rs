//! Errors of DynamoDB requests, classified by what the caller does about them.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::ThrottlingReason;
use aws_sdk_dynamodb::types::error::{
    ProvisionedThroughputExceededException, RequestLimitExceeded, ThrottlingException,
};
use paceline_pipeline::store::StoreError;

use super::throttle::{Throttled, throttled};
use crate::sdk::{self, RequestError, RetryClass, ServiceError, Source};

/// What to do about a refused request.
const PERMISSIONS: &str = "Allow the role this action on the table: docs/operations/permissions.md has the policy of each \
                           command and host";

/// What the caller does about a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TableErrorKind {
    /// Retry: DynamoDB throttled the request, which had no effect.
    Throttled,
    /// Retry: the request may have had its effect or not.
    Ambiguous,
    /// Send another request: DynamoDB does not accept this one or one of its values.
    Invalid,
    /// Stop: a retry would fail as well until somebody intervenes.
    Fatal,
}

impl TableErrorKind {
    /// Whether a retry may succeed without intervention.
    pub(super) fn is_transient(self) -> bool {
        matches!(self, Self::Throttled | Self::Ambiguous)
    }
}

/// A failed request. It can be cloned, because each statement of a failed batch fails with it.
#[derive(Clone, Debug)]
pub(super) struct TableError {
    pub(super) kind: TableErrorKind,
    /// What happened, where, and what to do.
    message: String,
    source: Option<Source>,
    /// What a throttled request was throttled by.
    pub(super) throttled: BTreeSet<Throttled>,
}

impl TableError {
    /// The same error with a cause.
    pub(super) fn caused_by(self, source: impl Error + Send + Sync + 'static) -> Self {
        Self { source: Some(Arc::new(source)), ..self }
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for TableError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

impl From<TableError> for StoreError {
    fn from(error: TableError) -> Self {
        let TableError { kind, message, source, .. } = error;
        let error = if kind.is_transient() { Self::transient(message) } else { Self::fatal(message) };
        match source {
            Some(source) => error.with_source(SharedSource(source)),
            None => error,
        }
    }
}

/// A shared cause as an error of its own: `Arc<dyn Error>` does not implement `Error`.
#[derive(Debug)]
struct SharedSource(Source);

impl fmt::Display for SharedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for SharedSource {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// A table's name and location, as requests and messages use them.
#[derive(Clone, Debug)]
pub(super) struct TableRef {
    pub(super) table: String,
    /// ` in eu-west-1`, ` at http://localhost:8000`, or both.
    location: String,
}

impl fmt::Display for TableRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the DynamoDB table `{}`{}", self.table, self.location)
    }
}

impl TableRef {
    pub(super) fn new(table: String, region: Option<&str>, endpoint: Option<&str>) -> Self {
        Self { table, location: sdk::location(region, endpoint) }
    }

    /// An error whose message begins with the table.
    pub(super) fn error(&self, kind: TableErrorKind, what: impl fmt::Display) -> TableError {
        TableError { kind, message: format!("{self}: {what}"), source: None, throttled: BTreeSet::new() }
    }

    /// Classifies an error of the SDK. `doing` names the request.
    pub(super) fn classify<E>(&self, doing: &str, error: SdkError<E, HttpResponse>) -> TableError
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let reasons = error.as_service_error().map(|error| throttling_reasons(error)).unwrap_or_default();
        match sdk::classify(doing, "request-ms", error) {
            RequestError::Service(error) => self.classify_service_error(doing, error, &reasons),
            RequestError::Transport(error) => {
                TableError { source: error.source, ..self.error(error.class.into(), error.message) }
            }
        }
    }

    /// Classifies the error of one statement of a batch. Its code is that of a whole request, at times without
    /// `Exception` at the end.
    pub(super) fn classify_statement_error(
        &self,
        doing: &str,
        code: Option<&str>,
        message: Option<&str>,
    ) -> TableError {
        // The batch as a whole succeeded, so an unknown code counts as ambiguous.
        const STATUS: u16 = 200;
        match code {
            Some(code) => self.classify_service_error(doing, ServiceError::new(code, message, STATUS), &[]),
            None => self
                .error(TableErrorKind::Ambiguous, format_args!("{doing} failed, and the response has no error code")),
        }
    }

    fn classify_service_error(&self, doing: &str, error: ServiceError, reasons: &[ThrottlingReason]) -> TableError {
        let (kind, message) = classify_code(doing, &error, reasons);
        let throttled = match kind {
            TableErrorKind::Throttled => throttled(&self.table, error.name(), &error.message, reasons),
            _ => BTreeSet::new(),
        };
        TableError { source: Some(Arc::new(error)), throttled, ..self.error(kind, message) }
    }
}

fn classify_code(doing: &str, error: &ServiceError, reasons: &[ThrottlingReason]) -> (TableErrorKind, String) {
    match error.name() {
        _ if !reasons.is_empty() => {
            let reasons: Vec<String> = reasons
                .iter()
                .map(|reason| {
                    let unknown = "(not given)";
                    format!("{} on {}", reason.reason().unwrap_or(unknown), reason.resource().unwrap_or(unknown))
                })
                .collect();
            let reasons = reasons.join(", ");
            (TableErrorKind::Throttled, format!("{doing} is throttled by {reasons} ({error})"))
        }
        "TransactionConflict" | "ReplicatedWriteConflict" => (
            TableErrorKind::Throttled,
            format!("{doing} is refused for now, because another write to the item is in progress ({error})"),
        ),
        "ResourceNotFound" => (
            TableErrorKind::Fatal,
            format!(
                "{doing} failed because there is no such table ({error}). Create it with `paceline table create --config \
                 …`, or correct its name, the region or the endpoint"
            ),
        ),
        "AccessDenied" => (TableErrorKind::Fatal, format!("{doing} is not allowed ({error}). {PERMISSIONS}")),
        "ItemCollectionSizeLimitExceeded" => (
            TableErrorKind::Fatal,
            format!(
                "{doing} failed because a partition has reached 10 GB, the limit of a table with a local index \
                 ({error}). Use a table without local indexes"
            ),
        ),
        "Validation" | "ValidationError" | "Serialization" => (
            TableErrorKind::Invalid,
            format!(
                "{doing} is not accepted ({error}). Run `paceline table check --config …` to see whether the table is \
                 compatible"
            ),
        ),
        _ => {
            let (class, message) = sdk::classify_common(doing, error);
            (class.into(), message)
        }
    }
}

impl From<RetryClass> for TableErrorKind {
    fn from(class: RetryClass) -> Self {
        match class {
            RetryClass::Throttled => Self::Throttled,
            RetryClass::Ambiguous => Self::Ambiguous,
            RetryClass::Fatal => Self::Fatal,
        }
    }
}

/// The reasons that a throttling error gives: which limit, and of which table or index.
fn throttling_reasons(error: &(dyn Error + 'static)) -> Vec<ThrottlingReason> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<ProvisionedThroughputExceededException>() {
            return found.throttling_reasons().to_vec();
        } else if let Some(found) = error.downcast_ref::<ThrottlingException>() {
            return found.throttling_reasons().to_vec();
        } else if let Some(found) = error.downcast_ref::<RequestLimitExceeded>() {
            return found.throttling_reasons().to_vec();
        }
        next = error.source();
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::operation::put_item::PutItemError;
    use paceline_pipeline::ErrorChain;

    use super::*;

    fn table() -> TableRef {
        TableRef::new("races".into(), Some("eu-west-1"), Some("http://127.0.0.1:8000"))
    }

    fn classify(code: &str, status: u16) -> TableError {
        table().classify_service_error("a write", ServiceError::new(code, Some("why"), status), &[])
    }

    #[test]
    fn codes_are_classified_by_what_the_caller_does() {
        for (code, status, kind) in [
            ("ProvisionedThroughputExceededException", 400, TableErrorKind::Throttled),
            ("ThrottlingError", 400, TableErrorKind::Throttled),
            ("RequestLimitExceeded", 400, TableErrorKind::Throttled),
            ("com.amazonaws.dynamodb.v20120810#TransactionConflictException", 400, TableErrorKind::Throttled),
            ("InternalServerError", 500, TableErrorKind::Ambiguous),
            ("SomethingNew", 503, TableErrorKind::Ambiguous),
            ("Unheard", 429, TableErrorKind::Ambiguous),
            ("ResourceNotFoundException", 400, TableErrorKind::Fatal),
            ("AccessDeniedException", 400, TableErrorKind::Fatal),
            ("ExpiredTokenException", 400, TableErrorKind::Fatal),
            ("SomethingNew", 400, TableErrorKind::Fatal),
            ("ValidationException", 400, TableErrorKind::Invalid),
        ] {
            assert_eq!(classify(code, status).kind, kind, "{code}");
        }
        for code in [None, Some("SomethingNew")] {
            let error = table().classify_statement_error("a write", code, None);
            assert_eq!(error.kind, TableErrorKind::Ambiguous, "{code:?}");
        }
    }

    #[test]
    fn a_message_names_the_table_its_location_and_the_remedy() {
        let text = classify("ResourceNotFoundException", 400).to_string();
        for part in ["`races`", "in eu-west-1", "at http://127.0.0.1:8000", "paceline table create"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_throttled_request_names_the_limit_and_the_resource() {
        let reason = ThrottlingReason::builder()
            .reason("TableWriteProvisionedThroughputExceeded")
            .resource("arn:aws:dynamodb:eu-west-1:1:table/races")
            .build();
        let error = ProvisionedThroughputExceededException::builder().throttling_reasons(reason).build();
        let reasons = throttling_reasons(&PutItemError::ProvisionedThroughputExceededException(error));
        let error = ServiceError::new("ProvisionedThroughputExceededException", Some("slow down"), 400);
        let text = table().classify_service_error("a write", error, &reasons).to_string();
        assert!(text.contains("TableWriteProvisionedThroughputExceeded on arn:aws:dynamodb"), "{text}");
    }

    #[test]
    fn the_response_is_the_source_and_is_shown_once() {
        let error = StoreError::from(classify("AccessDeniedException", 400));
        assert_eq!(error.source().unwrap().to_string(), "AccessDeniedException: why");
        assert_eq!(ErrorChain(&error).to_string(), error.to_string());
    }

    #[test]
    fn the_cause_of_a_request_without_a_response_is_kept() {
        let cause = std::io::Error::other("connection refused");
        let error: SdkError<PutItemError, HttpResponse> = SdkError::construction_failure(cause);
        let error = StoreError::from(table().classify("a write", error));
        let text = ErrorChain(&error).to_string();
        assert!(text.matches("connection refused").count() == 1, "{text}");
    }
}
