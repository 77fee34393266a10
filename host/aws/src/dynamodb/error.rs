//! What goes wrong, by what is to be done about it.

use std::error::Error;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::ThrottlingReason;
use aws_sdk_dynamodb::types::error::{
    ProvisionedThroughputExceededException, RequestLimitExceeded, ThrottlingException,
};
use paceline_pipeline::store::StoreError;

use crate::sdk::{self, RequestError, RetryClass, ServiceError};

/// What the host has to be allowed to do.
const PERMISSIONS: &str = "dynamodb:BatchGetItem, GetItem, Query, Scan, PutItem, UpdateItem, BatchWriteItem, \
                           DescribeTable, and for `write = \"statements\"` PartiQLInsert and PartiQLUpdate";

/// What is to be done about a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TableErrorKind {
    /// Try again: it was throttled or refused for a moment. Nothing was written.
    Throttled,
    /// Try again: it may have been done or not.
    Ambiguous,
    /// DynamoDB does not understand the request, or does not take the item.
    Invalid,
    /// Don't try again: somebody has to do something first.
    Fatal,
}

/// A failed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableError {
    pub(super) kind: TableErrorKind,
    /// What happened, where, and what to do.
    pub(super) text: String,
}

impl From<TableError> for StoreError {
    fn from(error: TableError) -> Self {
        match error.kind {
            TableErrorKind::Throttled | TableErrorKind::Ambiguous => Self::transient(error.text),
            TableErrorKind::Invalid | TableErrorKind::Fatal => Self::fatal(error.text),
        }
    }
}

/// A table, as messages name it.
#[derive(Clone, Debug)]
pub(super) struct TableRef {
    pub(super) table: String,
    /// ` in eu-west-1`, ` at http://localhost:8000`, or both.
    pub(super) place: String,
}

impl TableRef {
    pub(super) fn new(table: String, region: Option<&str>, endpoint: Option<&str>) -> Self {
        Self { table, place: sdk::location(region, endpoint) }
    }

    /// A fault with the table in its message.
    pub(super) fn error(&self, kind: TableErrorKind, what: impl std::fmt::Display) -> TableError {
        TableError { kind, text: format!("the DynamoDB table `{}`{}: {what}", self.table, self.place) }
    }

    /// Sorts what the SDK says.
    pub(super) fn classify<E>(&self, doing: &str, error: SdkError<E, HttpResponse>) -> TableError
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let reasons = error.as_service_error().map(|error| throttling(error)).unwrap_or_default();
        match sdk::classify(doing, "request-ms", error) {
            RequestError::Service(told) => self.classify_service_error(doing, &told, &reasons),
            RequestError::Transport(error) => self.error(error.class.into(), error.message),
        }
    }

    /// Sorts an error code. Those of whole requests and of single statements are the same but for `Exception` at the
    /// end.
    pub(super) fn classify_code(
        &self,
        doing: &str,
        code: Option<&str>,
        message: Option<&str>,
        status: u16,
        reasons: &[ThrottlingReason],
    ) -> TableError {
        match code {
            Some(code) => self.classify_service_error(doing, &ServiceError::new(code, message, status), reasons),
            None => self.error(
                TableErrorKind::Ambiguous,
                format_args!("{doing} got an answer that can't be read (HTTP {status})"),
            ),
        }
    }

    fn classify_service_error(&self, doing: &str, told: &ServiceError, reasons: &[ThrottlingReason]) -> TableError {
        let ServiceError { code, message, .. } = told;
        match told.name() {
            _ if !reasons.is_empty() => {
                let reasons: Vec<String> = reasons
                    .iter()
                    .map(|reason| {
                        let (why, what) = (reason.reason().unwrap_or("?"), reason.resource().unwrap_or("?"));
                        format!("{why} on {what}")
                    })
                    .collect();
                let reasons = reasons.join(", ");
                self.error(TableErrorKind::Throttled, format_args!("{doing} is throttled ({code}): {reasons}"))
            }
            "TransactionConflict" | "ReplicatedWriteConflict" => {
                self.error(TableErrorKind::Throttled, format_args!("{doing} was refused for now ({code}): {message}"))
            }
            "ResourceNotFound" => self.error(
                TableErrorKind::Fatal,
                "there is no such table. Create it with `paceline table create --config …`, or correct its name, the \
                 region or the endpoint",
            ),
            "AccessDenied" => self.error(
                TableErrorKind::Fatal,
                format_args!("{doing} is not allowed: {message}. The host needs the permissions {PERMISSIONS}"),
            ),
            "ItemCollectionSizeLimitExceeded" => self.error(
                TableErrorKind::Fatal,
                format_args!(
                    "a partition has reached 10 GB, which a table with a local index can't exceed: {message}. Use a \
                     table without local indexes"
                ),
            ),
            "Validation" | "ValidationError" | "Serialization" => self.error(
                TableErrorKind::Invalid,
                format_args!(
                    "{doing} is not accepted: {message}. `paceline table check --config …` tells whether the table is \
                     as it should be"
                ),
            ),
            _ => {
                let (class, text) = sdk::classify_common(doing, told);
                self.error(class.into(), text)
            }
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

/// Why and where an error says that it throttles.
fn throttling(error: &(dyn Error + 'static)) -> Vec<ThrottlingReason> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<ProvisionedThroughputExceededException>() {
            return found.throttling_reasons().to_vec();
        } else if let Some(found) = error.downcast_ref::<ThrottlingException>() {
            return found.throttling_reasons().to_vec();
        } else if let Some(found) = error.downcast_ref::<RequestLimitExceeded>() {
            return found.throttling_reasons().to_vec();
        }
        cause = error.source();
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::operation::put_item::PutItemError;

    use super::*;

    fn named() -> TableRef {
        TableRef::new("races".into(), Some("eu-west-1"), Some("http://127.0.0.1:8000"))
    }

    fn kind(code: &str, status: u16) -> TableErrorKind {
        named().classify_code("a write", Some(code), Some("why"), status, &[]).kind
    }

    #[test]
    fn what_passes_is_tried_again_and_what_does_not_is_told() {
        for code in ["ProvisionedThroughputExceededException", "ThrottlingError", "RequestLimitExceeded"] {
            assert_eq!(kind(code, 400), TableErrorKind::Throttled, "{code}");
        }
        assert_eq!(
            kind("com.amazonaws.dynamodb.v20120810#TransactionConflictException", 400),
            TableErrorKind::Throttled
        );
        for (code, status) in [("InternalServerError", 500), ("SomethingNew", 503), ("Unheard", 429)] {
            assert_eq!(kind(code, status), TableErrorKind::Ambiguous, "{code}");
        }
        assert_eq!(named().classify_code("a write", None, None, 200, &[]).kind, TableErrorKind::Ambiguous);
        for code in ["ResourceNotFoundException", "AccessDeniedException", "ExpiredTokenException", "SomethingNew"] {
            assert_eq!(kind(code, 400), TableErrorKind::Fatal, "{code}");
        }
        assert_eq!(kind("ValidationException", 400), TableErrorKind::Invalid);
    }

    #[test]
    fn a_message_says_which_table_where_and_what_to_do() {
        let text = named().classify_code("a read", Some("ResourceNotFoundException"), None, 400, &[]).text;
        for part in ["`races`", "in eu-west-1", "at http://127.0.0.1:8000", "paceline table create"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_throttle_says_why_and_where() {
        let reason = ThrottlingReason::builder()
            .reason("TableWriteProvisionedThroughputExceeded")
            .resource("arn:aws:dynamodb:eu-west-1:1:table/races")
            .build();
        let error = ProvisionedThroughputExceededException::builder().throttling_reasons(reason).build();
        let reasons = throttling(&PutItemError::ProvisionedThroughputExceededException(error));
        let code = Some("ProvisionedThroughputExceededException");
        let text = named().classify_code("a write", code, Some("slow down"), 400, &reasons).text;
        assert!(text.contains("TableWriteProvisionedThroughputExceeded on arn:aws:dynamodb"), "{text}");
    }
}
