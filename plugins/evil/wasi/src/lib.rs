//! A scorer that imports WASI to read its host's environment, including credentials. The host refuses to load it.
#![allow(unsafe_code, reason = "wit-bindgen's macro writes and checks it")]
#![allow(missing_docs, reason = "generated")]
#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "only the component uses it"))]

wit_bindgen::generate!({
    path: ["../../../wit", "wasi-cli", "wit"],
    world: "paceline:evil/thief",
    generate_all,
});

use exports::paceline::plugin::scoring::{Batch, Field, Guest};

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
export!(Evil);
