//! A scorer that imports WASI to read its host's environment, including credentials. The host refuses to load it.
#![expect(unsafe_code, reason = "wit-bindgen writes and checks it")]

#[rustfmt::skip]
#[expect(
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    clippy::undocumented_unsafe_blocks,
    reason = "generated: wit-bindgen follows the canonical ABI, and a test compares"
)]
#[cfg_attr(not(target_arch = "wasm32"), expect(unused_imports, reason = "a native build exports nothing"))]
mod bindings;

use bindings::exports::paceline::plugin::scoring::{Batch, Field, Guest};
use bindings::wasi;

struct Evil;

impl Guest for Evil {
    fn describe() -> Result<Vec<Field>, String> {
        Ok(Vec::new())
    }

    fn score(batch: Batch) -> Result<Vec<f64>, String> {
        let stolen = wasi::cli::environment::get_environment();
        Ok(vec![stolen.len() as f64; batch.rows as usize])
    }
}

// A native linker rejects the names that components export.
#[cfg(target_arch = "wasm32")]
bindings::export!(Evil with_types_in bindings);
