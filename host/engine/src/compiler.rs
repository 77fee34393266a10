//! The settings that compiled code depends on, and what it computes.

use std::hash::Hash;

use wasmtime::Config;

use crate::limits;

/// What paceline's own part in compiled code has come to. A change of that code for the same plugin needs another number:
/// hosts then pass over what was compiled before.
const REVISION: u32 = 1;

/// What two programs must have in common for one to run what the other has compiled: the same hash.
pub(crate) fn compatibility(engine: &wasmtime::Engine) -> impl Hash + '_ {
    (REVISION, engine.precompile_compatibility_hash())
}

/// The configuration that all engines share.
pub(crate) fn config() -> Config {
    let mut config = Config::new();
    config
        // Calls are synchronous; nothing here needs tasks that suspend.
        .concurrency_support(false)
        .consume_fuel(true)
        .epoch_interruption(true)
        // The same bits on every machine: NaN payloads and relaxed SIMD would depend on the processor.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .max_wasm_stack(limits::STACK_BYTES);
    config
}
