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
        // The same bits on every machine: relaxed SIMD would depend on the processor. So would NaNs, which `canonical`
        // makes the same before the code is compiled.
        .cranelift_nan_canonicalization(false)
        .relaxed_simd_deterministic(true)
        .max_wasm_stack(limits::STACK_BYTES);
    config
}
