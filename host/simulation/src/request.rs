//! A request of the AWS SDK, taken from its HTTP.

use serde_json::Value;

/// A request in the JSON of the services.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Such as `PutItem`.
    pub(crate) operation: String,
    pub(crate) body: Value,
}
