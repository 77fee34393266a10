//! What to observe.

use std::time::Duration;

/// The address of a service; without one, that of the region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The region, unless it is that of the environment.
    pub region: Option<String>,
    /// The URL, for private endpoints and tests.
    pub url: Option<String>,
}

/// What to observe, by name. What is not named is found from the function: its stream by its event source mapping, its
/// tables by its environment.
#[derive(Clone, Debug)]
pub struct Target {
    /// How far back the metrics are read.
    pub span: Duration,
    /// The stream.
    pub stream: Option<String>,
    /// Where it is.
    pub kinesis: Endpoint,
    /// The function.
    pub function: Option<String>,
    /// The tables.
    pub tables: Vec<String>,
    /// Where they are.
    pub dynamodb: Endpoint,
    /// The URL of the queue of batches that were given up, if it is not the mapping's on-failure destination.
    pub queue: Option<String>,
    /// Where all other services are.
    pub others: Endpoint,
    /// The namespace of the metrics that the function writes.
    pub namespace: Option<String>,
    /// Running hosts, by the address under their `[serve] listen`.
    pub hosts: Vec<String>,
}

impl Target {
    /// Nothing yet, over a span.
    #[must_use]
    pub fn nothing(span: Duration) -> Self {
        Self {
            span,
            stream: None,
            kinesis: Endpoint::default(),
            function: None,
            tables: Vec::new(),
            dynamodb: Endpoint::default(),
            queue: None,
            others: Endpoint::default(),
            namespace: None,
            hosts: Vec::new(),
        }
    }
}
