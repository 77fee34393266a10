//! Answers that are errors.

use serde_json::{Map, Value, json};

use super::answer::Answer;

/// A request, or a statement of one, that is not done.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// The code, without `Exception`.
    pub(super) code: &'static str,
    pub(super) message: String,
    /// The item that a condition does not hold for, if the request wants it.
    pub(super) item: Option<Map<String, Value>>,
}

impl Failure {
    /// The request is not valid.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self { code: "Validation", message: message.into(), item: None }
    }

    /// A condition does not hold.
    pub(super) fn condition(item: Option<Map<String, Value>>) -> Self {
        Self { code: "ConditionalCheckFailed", message: "The conditional request failed".to_owned(), item }
    }

    /// The answer of a request that failed as a whole.
    pub(super) fn into_answer(self) -> Answer {
        let Self { code, message, item } = self;
        let space = if code == "Validation" { "com.amazon.coral.validate" } else { "com.amazonaws.dynamodb.v20120810" };
        let mut body = json!({ "__type": format!("{space}#{code}Exception"), "message": message });
        if let Some(item) = item {
            body["Item"] = Value::Object(item);
        }
        Answer { status: 400, body }
    }

    /// The error of a statement of a batch.
    pub(super) fn into_statement_error(self) -> Value {
        let Self { code, message, item } = self;
        let code = if code == "Validation" { "ValidationError" } else { code };
        let mut error = json!({ "Code": code, "Message": message });
        if let Some(item) = item {
            error["Item"] = Value::Object(item);
        }
        error
    }
}
