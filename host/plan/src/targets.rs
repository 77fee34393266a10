//! What a plan is asked for.

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Targets {
    /// The age within which 99 of 100 messages are to be committed, in seconds. Without it nothing is searched.
    pub wanted_age: Option<f64>,
    /// Seconds of an outage of the consumer.
    pub outage_seconds: u32,
    /// Seconds that are simulated.
    pub seconds: u32,
    /// The seed of the simulation.
    pub seed: u64,
}

impl Default for Targets {
    fn default() -> Self {
        Self { wanted_age: None, outage_seconds: 600, seconds: 900, seed: 1 }
    }
}
