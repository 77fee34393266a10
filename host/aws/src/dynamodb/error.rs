//! What goes wrong, by what is to be done about it.

use std::error::Error;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::ThrottlingReason;
use aws_sdk_dynamodb::types::error::{
    ProvisionedThroughputExceededException, RequestLimitExceeded, ThrottlingException,
};
use paceline_pipeline::store::StoreError;

use crate::sdk::{self, Failed, Remedy, Told};

/// What the host has to be allowed to do.
const PERMISSIONS: &str = "dynamodb:BatchGetItem, GetItem, Query, Scan, PutItem, UpdateItem, BatchWriteItem, \
                           DescribeTable, and for `write = \"statements\"` PartiQLInsert and PartiQLUpdate";

/// What is to be done about a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Try again: it was throttled or refused for a moment. Nothing was written.
    Refused,
    /// Try again: it may have been done or not.
    Unsure,
    /// DynamoDB does not understand the request, or does not take the item.
    Invalid,
    /// Don't try again: somebody has to do something first.
    Broken,
}

/// A failed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    /// What happened, where, and what to do.
    pub(super) text: String,
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault.kind {
            Kind::Refused | Kind::Unsure => Self::Busy(fault.text),
            Kind::Invalid | Kind::Broken => Self::Broken(fault.text),
        }
    }
}

/// A table, as messages name it.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) table: String,
    /// ` in eu-west-1`, ` at http://localhost:8000`, or both.
    pub(super) place: String,
}

impl Named {
    pub(super) fn new(table: String, region: Option<&str>, endpoint: Option<&str>) -> Self {
        Self { table, place: sdk::place(region, endpoint) }
    }

    /// A fault with the table in its message.
    pub(super) fn fault(&self, kind: Kind, what: impl std::fmt::Display) -> Fault {
        Fault { kind, text: format!("the DynamoDB table `{}`{}: {what}", self.table, self.place) }
    }

    /// Sorts what the SDK says.
    pub(super) fn sort<E>(&self, doing: &str, error: &SdkError<E, HttpResponse>) -> Fault
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        match sdk::sort(doing, "request-ms", error) {
            Failed::Told(told) => {
                let reasons = error.as_service_error().map(|error| throttling(error)).unwrap_or_default();
                self.sort_told(doing, &told, &reasons)
            }
            Failed::Sorted(remedy, text) => self.fault(remedy.into(), text),
        }
    }

    /// Sorts an error code. Those of whole requests and of single statements are the same but for `Exception` at the
    /// end.
    pub(super) fn sort_code(
        &self,
        doing: &str,
        code: Option<&str>,
        message: Option<&str>,
        status: u16,
        reasons: &[ThrottlingReason],
    ) -> Fault {
        match code {
            Some(code) => self.sort_told(doing, &Told::new(code, message, status), reasons),
            None => self.fault(Kind::Unsure, format_args!("{doing} got an answer that can't be read (HTTP {status})")),
        }
    }

    fn sort_told(&self, doing: &str, told: &Told, reasons: &[ThrottlingReason]) -> Fault {
        let Told { code, message, .. } = told;
        match told.short() {
            _ if !reasons.is_empty() => {
                let reasons: Vec<String> = reasons
                    .iter()
                    .map(|reason| {
                        let (why, what) = (reason.reason().unwrap_or("?"), reason.resource().unwrap_or("?"));
                        format!("{why} on {what}")
                    })
                    .collect();
                let reasons = reasons.join(", ");
                self.fault(Kind::Refused, format_args!("{doing} is throttled ({code}): {reasons}"))
            }
            "TransactionConflict" | "ReplicatedWriteConflict" => {
                self.fault(Kind::Refused, format_args!("{doing} was refused for now ({code}): {message}"))
            }
            "ResourceNotFound" => self.fault(
                Kind::Broken,
                "there is no such table. Create it with `paceline table create --config …`, or correct its name, the \
                 region or the endpoint",
            ),
            "AccessDenied" => self.fault(
                Kind::Broken,
                format_args!("{doing} is not allowed: {message}. The host needs the permissions {PERMISSIONS}"),
            ),
            "ItemCollectionSizeLimitExceeded" => self.fault(
                Kind::Broken,
                format_args!(
                    "a partition has reached 10 GB, which a table with a local index can't exceed: {message}. Use a \
                     table without local indexes"
                ),
            ),
            "Validation" | "ValidationError" | "Serialization" => self.fault(
                Kind::Invalid,
                format_args!(
                    "{doing} is not accepted: {message}. `paceline table check --config …` tells whether the table is \
                     as it should be"
                ),
            ),
            _ => {
                let (remedy, text) = sdk::common(doing, told);
                self.fault(remedy.into(), text)
            }
        }
    }
}

impl From<Remedy> for Kind {
    fn from(remedy: Remedy) -> Self {
        match remedy {
            Remedy::Refused => Self::Refused,
            Remedy::Unsure => Self::Unsure,
            Remedy::Broken => Self::Broken,
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

    fn named() -> Named {
        Named::new("races".into(), Some("eu-west-1"), Some("http://127.0.0.1:8000"))
    }

    fn kind(code: &str, status: u16) -> Kind {
        named().sort_code("a write", Some(code), Some("why"), status, &[]).kind
    }

    #[test]
    fn what_passes_is_tried_again_and_what_does_not_is_told() {
        for code in ["ProvisionedThroughputExceededException", "ThrottlingError", "RequestLimitExceeded"] {
            assert_eq!(kind(code, 400), Kind::Refused, "{code}");
        }
        assert_eq!(kind("com.amazonaws.dynamodb.v20120810#TransactionConflictException", 400), Kind::Refused);
        for (code, status) in [("InternalServerError", 500), ("SomethingNew", 503), ("Unheard", 429)] {
            assert_eq!(kind(code, status), Kind::Unsure, "{code}");
        }
        assert_eq!(named().sort_code("a write", None, None, 200, &[]).kind, Kind::Unsure);
        for code in ["ResourceNotFoundException", "AccessDeniedException", "ExpiredTokenException", "SomethingNew"] {
            assert_eq!(kind(code, 400), Kind::Broken, "{code}");
        }
        assert_eq!(kind("ValidationException", 400), Kind::Invalid);
    }

    #[test]
    fn a_message_says_which_table_where_and_what_to_do() {
        let text = named().sort_code("a read", Some("ResourceNotFoundException"), None, 400, &[]).text;
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
        let text = named().sort_code("a write", code, Some("slow down"), 400, &reasons).text;
        assert!(text.contains("TableWriteProvisionedThroughputExceeded on arn:aws:dynamodb"), "{text}");
    }
}
