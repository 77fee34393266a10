//! The settings that compiled code depends on, and what it computes.

use wasmtime::Config;

use crate::limits;

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
