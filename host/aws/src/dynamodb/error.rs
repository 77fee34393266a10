//! What goes wrong, by what is to be done about it.

use std::error::Error;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::ThrottlingReason;
use aws_sdk_dynamodb::types::error::{
    ProvisionedThroughputExceededException, RequestLimitExceeded, ThrottlingException,
};
use paceline_pipeline::store::StoreError;

/// Characters of a message of DynamoDB that are passed on. Its messages are shorter; this is against surprises.
const MESSAGE_CHARS: usize = 400;

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
        let mut place = region.map(|region| format!(" in {region}")).unwrap_or_default();
        if let Some(endpoint) = endpoint {
            place.push_str(&format!(" at {endpoint}"));
        }
        Self { table, place }
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
        match error {
            SdkError::ServiceError(service) => {
                let status = service.raw().status().as_u16();
                self.sort_code(doing, service.err().code(), service.err().message(), status, &throttling(service.err()))
            }
            SdkError::TimeoutError(_) => {
                self.fault(Kind::Unsure, format_args!("{doing} got no answer in time (`request-ms`)"))
            }
            SdkError::ResponseError(response) => {
                let status = response.raw().status().as_u16();
                self.fault(Kind::Unsure, format_args!("{doing} got an answer that can't be read (HTTP {status})"))
            }
            SdkError::DispatchFailure(failure) => {
                let why = failure.as_connector_error().map_or_else(String::new, |error| chain(error));
                if why.contains("redential") || why.contains("auth scheme") || why.contains("dentity") {
                    return self.credentials(doing, &why);
                }
                self.fault(Kind::Unsure, format_args!("{doing} did not get through: {why}"))
            }
            other => {
                let why = other.source().map_or_else(String::new, chain);
                if why.contains("redential") {
                    return self.credentials(doing, &why);
                }
                let text = format_args!("{doing} can't be sent: {why}. Are region and endpoint right?");
                self.fault(Kind::Broken, text)
            }
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
        let message: String = message.unwrap_or("no message").chars().take(MESSAGE_CHARS).collect();
        let Some(code) = code else {
            let text = format_args!("{doing} got an answer that can't be read (HTTP {status})");
            return self.fault(Kind::Unsure, text);
        };
        let short = code.rsplit(['#', '.']).next().unwrap_or(code);
        let short = short.strip_suffix("Exception").unwrap_or(short);
        match short {
            "ProvisionedThroughputExceeded" | "Throttling" | "ThrottlingError" | "RequestLimitExceeded" => {
                let reasons: Vec<String> = reasons
                    .iter()
                    .map(|reason| {
                        let (why, what) = (reason.reason().unwrap_or("?"), reason.resource().unwrap_or("?"));
                        format!("{why} on {what}")
                    })
                    .collect();
                let reasons = if reasons.is_empty() { message } else { reasons.join(", ") };
                self.fault(Kind::Refused, format_args!("{doing} is throttled ({code}): {reasons}"))
            }
            "TransactionConflict" | "ReplicatedWriteConflict" | "LimitExceeded" => {
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
            "UnrecognizedClient"
            | "ExpiredToken"
            | "InvalidSignature"
            | "IncompleteSignature"
            | "MissingAuthenticationToken"
            | "InvalidClientTokenId"
            | "SignatureDoesNotMatch"
            | "NotAuthorized"
            | "OptInRequired" => self.fault(
                Kind::Broken,
                format_args!(
                    "the credentials are not accepted ({code}): {message}. Renew them or give others \
                     (AWS_ACCESS_KEY_ID and so on, a profile, or a role), and look at the machine's clock"
                ),
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
            "InternalServerError" | "InternalFailure" | "InternalServer" | "ServiceUnavailable" | "RequestTimeout" => {
                self.fault(Kind::Unsure, format_args!("{doing} failed at the other end ({code}): {message}"))
            }
            _ if status >= 500 || status == 429 || status == 200 => {
                self.fault(Kind::Unsure, format_args!("{doing} failed at the other end ({code}): {message}"))
            }
            _ => self.fault(Kind::Broken, format_args!("{doing} failed ({code}): {message}")),
        }
    }

    /// Credentials that can't be had for the moment, or at all.
    fn credentials(&self, doing: &str, why: &str) -> Fault {
        let for_now = why.contains("timed out") || why.contains("error occurred while loading");
        let kind = if for_now { Kind::Refused } else { Kind::Broken };
        self.fault(
            kind,
            format_args!(
                "{doing} needs credentials, and there are none: {why}. Give them as the AWS tools take them: \
                 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role of the machine; for DynamoDB Local \
                 any will do"
            ),
        )
    }
}

/// An error and what caused it, each said once.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
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
