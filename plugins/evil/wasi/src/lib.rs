//! A scorer that imports WASI to read its host's environment, including credentials. The host refuses to load it.
#![cfg_attr(target_arch = "wasm32", expect(unsafe_code, reason = "wit-bindgen's macro writes and checks it"))]
#![expect(missing_docs, reason = "generated")]

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
