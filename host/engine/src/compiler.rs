//! The settings that compiled code depends on, and what it computes.

use std::hash::Hash;

use wasmtime::Config;

use crate::canonical;
use crate::limits;

/// What two programs must have in common for one to run what the other has compiled: the same hash.
pub(crate) fn compatibility(engine: &wasmtime::Engine) -> impl Hash + '_ {
    (canonical::VERSION, engine.precompile_compatibility_hash())
}

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
        // Faults and profiles name functions, and no place within one. The map of places is a twelfth of the compiled code,
        // which is read and checked at each start, and it is searched for each frame of a trap.
        .generate_address_map(false)
        .max_wasm_stack(limits::STACK_BYTES);
    config
}
