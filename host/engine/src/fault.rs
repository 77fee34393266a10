//! How a call fails: a [`Fault`] blames the plugin, an [`EngineError`] the host.
//!
//! A fault is data: its text becomes the reason of a dead letter, so it is complete without a source. An engine error
//! keeps the error that caused it as its source.

use std::error::Error;

use wasmtime::Trap;

use crate::limits::{self, Limits};

/// Why a plugin failed on a row, on a group or as a whole. The rows become dead letters, and the other rows go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The plugin panicked, or did something that WebAssembly forbids.
    #[error("the plugin trapped: {0}")]
    Trap(String),
    /// The call used more fuel than its limit, which is given.
    #[error("the plugin used up its fuel of {0} (limits `fuel-per-call`, `fuel-per-row` and `fuel-per-byte`)")]
    Fuel(u64),
    /// The calls for the batch cost more together than the limit, which is given: a multiple of what one call for all of it
    /// may cost. Nothing was called for the row.
    #[error(
        "the plugin used up what its calls for a batch may cost together: {0} times a call (limit `calls-per-batch`)"
    )]
    Budget(u32),
    /// The call took longer than its limit, which is given in milliseconds.
    #[error("the plugin did not return within {0} ms (limit `call-ms`)")]
    Time(u64),
    /// The call was cut off at the end of the caller's time, after so many milliseconds.
    #[error("the plugin did not return within {0} ms, and the host had no more time for it")]
    Late(u64),
    /// Calls that failed took so much of the caller's time that the rest has to be kept for other work. Nothing was called
    /// for the row, or the call was cut off.
    #[error("calls to the plugin that failed took half of the time that the host had left for the plugin")]
    Share,
    /// The plugin requested more memory than its limit, and trapped when it did not get it.
    #[error("the plugin requested {requested} bytes of memory; {limit} are allowed (limit `memory-bytes`)")]
    Memory {
        /// The size of the memory in bytes, had the request been granted.
        requested: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The plugin's calls nested too deeply for its stack, whose size is given in bytes.
    #[error("the plugin recursed too deeply: its stack has {0} bytes")]
    Stack(usize),
    /// The plugin's results and log lines exceed the limit, which is given in bytes: that of a call, or that of all calls for
    /// the batch, which is a multiple of it. After the latter nothing was called for the row.
    #[error("the plugin passed more than {0} bytes to the host (limit `returned-bytes`)")]
    TooManyBytes(usize),
    /// The result does not fit the call.
    #[error("the plugin returned an invalid result: {0}")]
    InvalidResult(String),
    /// The plugin returned an error, whose text is given.
    #[error("the plugin returned an error: {0}")]
    Failed(String),
    /// The state of a group has a format, which is given, that the plugin neither has nor migrates from. It was not
    /// called.
    #[error("the plugin can't read states of the format `{0}`")]
    StateFormat(String),
    /// The score of a row is not a finite number.
    #[error("the score is {0}, not a finite number")]
    Score(String),
}

impl Fault {
    /// The category, in one word for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Trap(_) => "trap",
            Self::Fuel(_) => "fuel",
            Self::Budget(_) => "budget",
            Self::Time(_) | Self::Late(_) | Self::Share => "time",
            Self::Memory { .. } => "memory",
            Self::Stack(_) => "stack",
            Self::TooManyBytes(_) => "too-many-bytes",
            Self::InvalidResult(_) => "invalid-result",
            Self::Failed(_) => "error",
            Self::StateFormat(_) => "state-format",
            Self::Score(_) => "score",
        }
    }
}

/// The sandbox itself failed. No plugin and no row is to blame.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The machine lacks something that the sandbox needs.
    #[error("the WebAssembly engine can't start")]
    Start(#[source] Box<dyn Error + Send + Sync>),
    /// A plugin can't run now: for example, the pool has no free instance. The batch can be processed again.
    #[error("the WebAssembly engine can't run a plugin")]
    Run(#[source] Box<dyn Error + Send + Sync>),
    /// The deadline of the calls has passed.
    #[error("the plugin's calls did not end by their deadline")]
    Deadline,
}

impl EngineError {
    /// Whether a later attempt may succeed: others give back what the sandbox lacks.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Start(_) => false,
            Self::Run(_) | Self::Deadline => true,
        }
    }
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl CallError {
    /// An error of wasmtime's for which the plugin is not to blame.
    pub(crate) fn engine(error: wasmtime::Error) -> Self {
        Self::Engine(EngineError::Run(error.into()))
    }
}

impl Fault {
    /// Whether the call used up all that it was given of something before it failed.
    pub(crate) fn is_of_waste(&self) -> bool {
        matches!(self, Self::Fuel(_) | Self::Time(_) | Self::Memory { .. })
    }

    /// The limit to raise where calls for fewer rows succeed; `None` if the call was not in want of anything. `by_state` is
    /// whether most of its fuel is for the bytes of states.
    pub(crate) fn limit_to_raise(&self, by_state: bool) -> Option<&'static str> {
        match self {
            Self::Fuel(_) if by_state => Some("fuel-per-byte"),
            Self::Fuel(_) => Some("fuel-per-row"),
            Self::Time(_) => Some("call-ms"),
            Self::Memory { .. } => Some("memory-bytes"),
            Self::TooManyBytes(_) => Some("returned-bytes"),
            _ => None,
        }
    }

    /// Adds the last line that the call logged to a trap, as one line: the SDK logs the message of a panic.
    pub(crate) fn after_line(self, line: Option<&str>) -> Self {
        match (self, line) {
            (Self::Trap(cause), Some(line)) => {
                let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
                Self::Trap(format!("{cause}; it logged: {line}"))
            }
            (fault, _) => fault,
        }
    }

    /// Classifies the error of a call. `denied_bytes` is the memory that the plugin requested during the call and did
    /// not get; `fuel` is the limit of the call.
    pub(crate) fn of(error: &wasmtime::Error, denied_bytes: Option<usize>, fuel: u64, limits: &Limits) -> Self {
        match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => return Self::Fuel(fuel),
            Some(Trap::Interrupt) => return Self::Time(limits.call_ms),
            Some(Trap::StackOverflow) => return Self::Stack(limits::STACK_BYTES),
            _ => {}
        }
        if let Some(requested) = denied_bytes {
            return Self::Memory { requested, limit: limits.memory_bytes };
        }
        let cause = error.root_cause().to_string();
        // wasmtime's type for this error is private, so its text identifies it. A test fails if the text changes.
        if cause.contains("fuel allocated for hostcalls") {
            return Self::TooManyBytes(limits.returned_bytes);
        }
        Self::Trap(match guest_function(error) {
            Some(function) => format!("{cause}, in `{function}`"),
            None => cause,
        })
    }
}

/// The plugin's function that trapped: the innermost one that is not part of the language's panic machinery.
fn guest_function(error: &wasmtime::Error) -> Option<String> {
    const MACHINERY: [&str; 8] = ["core::", "std::", "alloc::", "<core::", "<std::", "<alloc::", "__rust", "rust_"];
    let backtrace = error.downcast_ref::<wasmtime::WasmBacktrace>()?;
    let names = backtrace.frames().iter().filter_map(|frame| frame.func_name());
    let mut names = names.map(|name| format!("{:#}", rustc_demangle::demangle(name)));
    let name = names.find(|name| !MACHINERY.iter().any(|machinery| name.starts_with(machinery)))?;
    Some(name.chars().take(200).collect())
}
