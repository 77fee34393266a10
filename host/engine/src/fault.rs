//! How a call fails. Whatever it is, the rows that bring it about become dead letters and the rest goes on.

use wasmtime::Trap;

/// Why a plugin could not deal with a row, a group, or a whole call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The plugin stopped itself (a panic, an `unreachable`) or did something that WebAssembly forbids.
    #[error("the plugin trapped: {0}")]
    Trap(String),
    /// It used up its fuel.
    #[error("the plugin used up its fuel ({0}: bounds `fuel-per-call`, `fuel-per-row`)")]
    Fuel(u64),
    /// It did not come back in time.
    #[error("the plugin did not come back within {0} ms (bound `call-ms`)")]
    Time(u64),
    /// It asked for more memory than it may have, and did not survive the refusal.
    #[error("the plugin asked for {asked} bytes of memory, {limit} are allowed (bound `memory-bytes`)")]
    Memory {
        /// What it asked for.
        asked: usize,
        /// What it may have.
        limit: usize,
    },
    /// Its calls are too deep.
    #[error("the plugin recursed too deeply: its stack of {0} bytes is full")]
    Stack(usize),
    /// Its answer is too large to be taken over.
    #[error("the plugin returned more than {0} bytes (bound `returned-bytes`)")]
    TooMuchReturned(usize),
    /// Its answer does not fit what it was asked.
    #[error("the plugin returned {0}")]
    BadAnswer(String),
    /// It returned an error.
    #[error("the plugin failed: {0}")]
    Failed(String),
    /// The score of a row is not a finite number.
    #[error("the score is {0}, not a finite number")]
    Score(String),
}

/// A call that did not come to an answer, and whether the plugin is to blame.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The plugin is.
    Fault(Fault),
    /// The host is: for one, no slot for an instance is free. Nothing is to be concluded about any row.
    HostState(wasmtime::Error),
}

impl From<Fault> for CallError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// What [`Fault`] an error of wasmtime's is. `denied` is the memory that the plugin asked for in vain, `fuel`, `limits`
/// and the like are what it had.
pub(crate) fn classify(error: &wasmtime::Error, denied: Option<usize>, fuel: u64, limits: &crate::Limits) -> Fault {
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => return Fault::Fuel(fuel),
        Some(Trap::Interrupt) => return Fault::Time(limits.call_ms),
        Some(Trap::StackOverflow) => return Fault::Stack(crate::limits::STACK_BYTES),
        _ => {}
    }
    if let Some(asked) = denied {
        return Fault::Memory { asked, limit: limits.memory_bytes };
    }
    let cause = error.root_cause().to_string();
    // wasmtime's type for this is private, so its words are what there is to go by; tests/evil would notice others.
    if cause.contains("fuel allocated for hostcalls") {
        return Fault::TooMuchReturned(limits.returned_bytes);
    }
    Fault::Trap(match guest_function(error) {
        Some(function) => format!("{cause}, in `{function}`"),
        None => cause,
    })
}

/// The plugin's own function in which it trapped: the first that is not the language's panic machinery.
fn guest_function(error: &wasmtime::Error) -> Option<String> {
    const MACHINERY: [&str; 8] = ["core::", "std::", "alloc::", "<core::", "<std::", "<alloc::", "__rust", "rust_"];
    let backtrace = error.downcast_ref::<wasmtime::WasmBacktrace>()?;
    let names = backtrace.frames().iter().filter_map(|frame| frame.func_name());
    let mut names = names.map(|name| format!("{:#}", rustc_demangle::demangle(name)));
    let name = names.find(|name| !MACHINERY.iter().any(|machinery| name.starts_with(machinery)))?;
    Some(name.chars().take(200).collect())
}
