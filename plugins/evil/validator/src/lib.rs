//! Validators that misbehave on purpose, each as the setting `deed` demands. `host/engine/tests/it/evil` tests what the
//! host does. They implement the contract without the SDK's macros, which would prevent most of the deeds.

use paceline_plugin::bindings::common::paceline::plugin::columns::{Batch, Column, Field, Kind, Value};
use paceline_plugin::bindings::common::paceline::plugin::settings;
use paceline_plugin::bindings::validator::exports::paceline::plugin::validation::{Guest, Rejection};

/// The component.
pub struct Evil;

impl Guest for Evil {
    fn describe() -> Result<Vec<Field>, String> {
        let field = |path: &str, kind: Kind| Field { path: path.to_owned(), kind, default: None };
        match deed().as_str() {
            "fail-describe" => Err("I would rather not".to_owned()),
            "spin-describe" => loop {
                std::hint::black_box(());
            },
            "too-many-fields" => Ok((0..65).map(|at| field(&format!("/field-{at}"), Kind::Number)).collect()),
            "bad-path" => Ok(vec![field("cadence", Kind::Number)]),
            "long-path" => Ok(vec![field(&format!("/{}", "x".repeat(2000)), Kind::Number)]),
            "blob-field" => Ok(vec![field("/cadence", Kind::Blob)]),
            "payload-as-text" => Ok(vec![field("@payload", Kind::Text)]),
            "huge-default" => {
                let default = Some(Value::Text("x".repeat(1025)));
                Ok(vec![Field { path: "/name".to_owned(), kind: Kind::Text, default }])
            }
            "wrong-default" => {
                Ok(vec![Field { default: Some(Value::Text("fast".to_owned())), ..field("/cadence", Kind::Number) }])
            }
            _ => Ok(vec![field("/cadence", Kind::Number)]),
        }
    }

    fn validate(batch: Batch) -> Result<Vec<Rejection>, String> {
        let rejection = |row: u32, reason: String| Rejection { row, reason };
        let [Column::Numbers(cadence)] = batch.columns.as_slice() else {
            return Err("expected one column of numbers".to_owned());
        };
        match deed().as_str() {
            // A reason of 4 MiB for the one row with a cadence of 66.
            "huge-reason" => Ok((0..batch.rows)
                .filter(|&row| cadence[row as usize] == 66.0)
                .map(|row| rejection(row, "x".repeat(4 << 20)))
                .collect()),
            // A reason of 64 KiB for every row.
            "huge-reasons" => Ok((0..batch.rows).map(|row| rejection(row, "x".repeat(1 << 16))).collect()),
            "no-such-row" => Ok(vec![rejection(batch.rows, "there is no such row".to_owned())]),
            "one-row-twice" => Ok(vec![rejection(0, "once".to_owned()), rejection(0, "twice".to_owned())]),
            "huge-error" => Err("x".repeat(32 << 20)),
            // One byte before characters of two bytes: a cut at an even length would split one of them.
            "long-error" => Err(format!("x{}", "é".repeat(2499))),
            _ => Ok(Vec::new()),
        }
    }
}

fn deed() -> String {
    settings::get("deed").unwrap_or_default()
}

// A native linker rejects the names that components export.
#[cfg(target_arch = "wasm32")]
paceline_plugin::bindings::validator::export_validator!(Evil with_types_in paceline_plugin::bindings::validator);
