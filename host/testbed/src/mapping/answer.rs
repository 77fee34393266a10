//! What a function's answer says of its batch.

use serde_json::{Map, Value};

use crate::stream::StreamRecord;

/// The judgement on an answer.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// The whole batch is done; with windows, the state to hand on.
    Done(Option<Value>),
    /// The records before this one are done, it and all after it are not.
    DoneBefore(usize, Option<Value>),
    /// Nothing is done, and why.
    Failed(String),
}

/// Judges the answer to a batch. `windows`: there must be a state. `partial`: batch item failures are heeded.
pub(super) fn evaluate(answer: Value, records: &[&StreamRecord], windows: bool, partial: bool) -> Verdict {
    let mut answer = match answer {
        Value::Object(fields) => fields,
        Value::Null => Map::new(),
        other if windows || partial => {
            return Verdict::Failed(format!("an answer is an object, not {}", brief(&other)));
        }
        _ => Map::new(),
    };
    let state = answer.remove("state").filter(|state| !state.is_null());
    if windows && state.is_none() {
        return Verdict::Failed("with a tumbling window an answer must have a `state`".to_owned());
    }
    let state = state.filter(|_| windows);
    if !partial {
        return Verdict::Done(state);
    }
    match lowest(answer.get("batchItemFailures"), records) {
        Ok(None) => Verdict::Done(state),
        Ok(Some(0)) => Verdict::Failed("the answer names the first record".to_owned()),
        Ok(Some(at)) => Verdict::DoneBefore(at, state),
        Err(reason) => Verdict::Failed(reason),
    }
}

/// The first of the records that failed.
fn lowest(failures: Option<&Value>, records: &[&StreamRecord]) -> Result<Option<usize>, String> {
    let failures = match failures {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(failures)) => failures,
        Some(other) => return Err(format!("`batchItemFailures` is a list, not {}", brief(other))),
    };
    let positions = failures.iter().map(|failure| {
        let id = failure.get("itemIdentifier").and_then(Value::as_str);
        // The records of a batch ascend, so the lowest number is the first record.
        let position = id.and_then(|id| records.iter().position(|record| record.sequence == id));
        position.ok_or_else(|| format!("{} names no record of the batch", brief(failure)))
    });
    Ok(positions.collect::<Result<Vec<_>, _>>()?.into_iter().min())
}

/// The beginning of a value, for messages.
fn brief(value: &Value) -> String {
    format!("`{}`", value.to_string().chars().take(200).collect::<String>())
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

    fn verdict(answer: Value) -> Verdict {
        let records = records();
        evaluate(answer, &records.iter().collect::<Vec<_>>(), false, true)
    }

    #[test]
    fn what_is_empty_or_null_is_a_complete_success() {
        for answer in [json!(null), json!({}), json!({"batchItemFailures": null}), json!({"batchItemFailures": []})] {
            assert_eq!(verdict(answer.clone()), Verdict::Done(None), "{answer}");
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
            let answer = json!({"batchItemFailures": [{"itemIdentifier": "4912"}, failure]});
            assert!(matches!(verdict(answer), Verdict::Failed(_)), "{failure}");
        }
        assert!(matches!(verdict(json!({"batchItemFailures": "4912"})), Verdict::Failed(_)));
        assert!(matches!(verdict(json!("fine")), Verdict::Failed(_)));
    }

    #[test]
    fn the_lowest_number_counts() {
        let answer = json!({"batchItemFailures": [{"itemIdentifier": "4913"}, {"itemIdentifier": "4912"}]});
        assert_eq!(verdict(answer), Verdict::DoneBefore(2, None));
    }

    #[test]
    fn failures_are_ignored_where_they_are_not_asked_for() {
        let records = records();
        let records: Vec<_> = records.iter().collect();
        let answer = json!({"batchItemFailures": [{"itemIdentifier": ""}], "state": {}});
        assert_eq!(evaluate(answer.clone(), &records, false, false), Verdict::Done(None));
        assert_eq!(evaluate(answer, &records, true, false), Verdict::Done(Some(json!({}))));
        assert_eq!(evaluate(json!("fine"), &records, false, false), Verdict::Done(None));
    }
}
