//! The outcome of an invocation.

use serde_json::Value;

/// The longest response in bytes: 6 MB and a little, the number in Lambda's own error message.
pub const MAX_RESPONSE_BYTES: usize = 6_291_556;

/// The outcome of an invocation.
#[derive(Clone, Debug, PartialEq)]
pub enum Invocation {
    /// The function's response; null if it was empty.
    Ok(Value),
    /// The error that the function reported, or that Lambda reports in its place.
    FunctionError(Value),
    /// The deadline passed and the instance was killed.
    TimedOut,
    /// The instance was killed or crashed.
    Died,
}
