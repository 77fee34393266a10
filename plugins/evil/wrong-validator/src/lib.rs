//! Validators that are subtly wrong on purpose, each as the setting `wrong` demands; without the setting the validator is
//! right. `paceline plugin verify` finds each of them. They implement the contract without the SDK's macros, which would
//! prevent most of the mistakes.

use std::sync::atomic::{AtomicU32, Ordering};

use paceline_plugin::bindings::common::paceline::plugin::columns::{Batch, Column, Field, Kind};
use paceline_plugin::bindings::common::paceline::plugin::settings;
use paceline_plugin::bindings::validator::exports::paceline::plugin::validation::{Guest, Rejection};

/// The component.
pub struct Validator;

impl Guest for Validator {
    fn describe() -> Result<Vec<Field>, String> {
        let field = |path: &str, kind| Field { path: path.to_owned(), kind, default: None };
        Ok(vec![field("/second", Kind::Integer), field("/cadence", Kind::Number)])
    }

    fn validate(batch: Batch) -> Result<Vec<Rejection>, String> {
        let [Column::Integers(second), Column::Numbers(cadence)] = batch.columns.as_slice() else {
            return Err("expected a column of integers and one of numbers".to_owned());
        };
        let wrong = settings::get("wrong").unwrap_or_default();
        let mut rejections = Vec::new();
        for row in 0..batch.rows as usize {
            let reason = match wrong.as_str() {
                // The record before is in the batch before, now and then.
                "repeated-second" if row > 0 && second[row] == second[row - 1] => {
                    Some("the second is repeated".to_owned())
                }
                // The last row is never looked at.
                "spares-last-row" if row + 1 == batch.rows as usize => None,
                "counter-in-static" if records().is_multiple_of(3) => Some("one in three".to_owned()),
                // Reasons with numbers of rows mean nothing to those who read them.
                "row-in-reason" => reason(cadence[row]).map(|reason| format!("row {row}: {reason}")),
                "no-reason" => reason(cadence[row]).map(|_| String::new()),
                "overflow" => {
                    let doubled = second[row].checked_mul(2).expect("twice the second fits");
                    (doubled > 1_200).then(|| format!("second is {}, above 600", second[row]))
                }
                _ => reason(cadence[row]),
            };
            rejections.extend(reason.map(|reason| Rejection { row: row as u32, reason }));
        }
        Ok(rejections)
    }
}

fn reason(cadence: f64) -> Option<String> {
    (cadence > 90.0).then(|| format!("cadence is {cadence}, above 90"))
}

/// The number of records that this instance has seen, including this one.
fn records() -> u32 {
    static RECORDS: AtomicU32 = AtomicU32::new(0);
    RECORDS.fetch_add(1, Ordering::Relaxed) + 1
}

// A native linker rejects the names that components export.
#[cfg(target_arch = "wasm32")]
paceline_plugin::bindings::validator::export_validator!(Validator with_types_in paceline_plugin::bindings::validator);
