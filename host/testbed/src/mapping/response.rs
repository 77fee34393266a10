//! What a function's response reports about its batch.

use serde_json::{Map, Value};

use crate::stream::StreamRecord;

/// How much of a batch was processed.
#[derive(Debug, PartialEq)]
pub(super) enum BatchOutcome {
    /// All of it. With windows, this is the state to pass on.
    Done(Option<Value>),
    /// The records before this index. With windows, this is the state to pass on.
    DoneBefore(usize, Option<Value>),
}

/// Why a response fails the whole batch.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum ResponseError {
    #[error("the response is not an object but {0}")]
    NotAnObject(Excerpt),
    #[error("the response has no `state`, which a tumbling window needs")]
    NoState,
    #[error("`batchItemFailures` is not a list but {0}")]
    NotAList(Excerpt),
    #[error("`batchItemFailures` contains {0}, which is no record of the batch")]
    UnknownRecord(Excerpt),
    #[error("`batchItemFailures` contains the first record")]
    FirstRecord,
}

/// The beginning of a JSON value.
#[derive(Debug, PartialEq)]
pub(super) struct Excerpt(String);

impl Excerpt {
    fn of(value: &Value) -> Self {
        Self(value.to_string().chars().take(200).collect())
    }
}

impl std::fmt::Display for Excerpt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

/// What the mapping's settings expect in a response.
pub(super) struct Expected {
    /// With windows, a state is required.
    pub(super) state: bool,
    /// `batchItemFailures` count.
    pub(super) item_failures: bool,
}

/// Evaluates the response to a batch of these records.
pub(super) fn evaluate(
    response: Value,
    records: &[&StreamRecord],
    expected: &Expected,
) -> Result<BatchOutcome, ResponseError> {
    let mut fields = match response {
        Value::Object(fields) => fields,
        Value::Null => Map::new(),
        other if expected.state || expected.item_failures => {
            return Err(ResponseError::NotAnObject(Excerpt::of(&other)));
        }
        _ => Map::new(),
    };
    let state = fields.remove("state").filter(|state| !state.is_null());
    if expected.state && state.is_none() {
        return Err(ResponseError::NoState);
    }
    let state = state.filter(|_| expected.state);
    if !expected.item_failures {
        return Ok(BatchOutcome::Done(state));
    }
    match first_failed(fields.get("batchItemFailures"), records)? {
        None => Ok(BatchOutcome::Done(state)),
        Some(0) => Err(ResponseError::FirstRecord),
        Some(index) => Ok(BatchOutcome::DoneBefore(index, state)),
    }
}

/// The index of the first record that failed.
fn first_failed(failures: Option<&Value>, records: &[&StreamRecord]) -> Result<Option<usize>, ResponseError> {
    let failures = match failures {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(failures)) => failures,
        Some(other) => return Err(ResponseError::NotAList(Excerpt::of(other))),
    };
    let indices = failures.iter().map(|failure| {
        let id = failure.get("itemIdentifier").and_then(Value::as_str);
        // The sequence numbers of a batch ascend, so the lowest number is that of the first record.
        let index = id.and_then(|id| records.iter().position(|record| record.sequence == id));
        index.ok_or_else(|| ResponseError::UnknownRecord(Excerpt::of(failure)))
    });
    Ok(indices.collect::<Result<Vec<_>, _>>()?.into_iter().min())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn records() -> Vec<StreamRecord> {
        let record = |number: u32| StreamRecord {
            sequence: format!("49{number}"),
            partition_key: "key".to_owned(),
            data: Vec::new(),
            arrival_ms: 0,
        };
        (10..15).map(record).collect()
    }

    const ITEM_FAILURES: Expected = Expected { state: false, item_failures: true };

    fn outcome(response: Value) -> Result<BatchOutcome, ResponseError> {
        let records = records();
        evaluate(response, &records.iter().collect::<Vec<_>>(), &ITEM_FAILURES)
    }

    #[test]
    fn a_response_that_is_empty_or_null_is_a_complete_success() {
        for response in [json!(null), json!({}), json!({"batchItemFailures": null}), json!({"batchItemFailures": []})] {
            assert_eq!(outcome(response.clone()), Ok(BatchOutcome::Done(None)), "{response}");
        }
    }

    #[test]
    fn a_bad_identifier_is_a_complete_failure() {
        for failure in [
            json!({"itemIdentifier": ""}),
            json!({"itemIdentifier": null}),
            json!({"itemIdentifier": "4999"}),
            json!({"itemIdentifier": 4912}),
            json!({"itemID": "4912"}),
            json!("4912"),
        ] {
            let response = json!({"batchItemFailures": [{"itemIdentifier": "4912"}, failure]});
            assert!(matches!(outcome(response), Err(ResponseError::UnknownRecord(_))), "{failure}");
        }
        assert!(matches!(outcome(json!({"batchItemFailures": "4912"})), Err(ResponseError::NotAList(_))));
        assert!(matches!(outcome(json!("fine")), Err(ResponseError::NotAnObject(_))));
    }

    #[test]
    fn the_lowest_number_counts() {
        let response = json!({"batchItemFailures": [{"itemIdentifier": "4913"}, {"itemIdentifier": "4912"}]});
        assert_eq!(outcome(response), Ok(BatchOutcome::DoneBefore(2, None)));
    }

    #[test]
    fn item_failures_are_ignored_unless_they_are_expected() {
        let records = records();
        let records: Vec<_> = records.iter().collect();
        let neither = Expected { state: false, item_failures: false };
        let state = Expected { state: true, item_failures: false };
        let response = json!({"batchItemFailures": [{"itemIdentifier": ""}], "state": {}});
        assert_eq!(evaluate(response.clone(), &records, &neither), Ok(BatchOutcome::Done(None)));
        assert_eq!(evaluate(response, &records, &state), Ok(BatchOutcome::Done(Some(json!({})))));
        assert_eq!(evaluate(json!("fine"), &records, &neither), Ok(BatchOutcome::Done(None)));
    }
}
