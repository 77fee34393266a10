//! Whatever fails, and however often the consumer dies: the table is the oracle's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use paceline_simulator::PartitionKey;
use paceline_testbed::outcome::{Fences, block_on};
use paceline_testbed::proxy::{FaultProxy, Faults};
use paceline_testbed::{dynamodb, kinesis};

use crate::deployment::{Deployment, signal};
use crate::race::messages;

/// A tenth of all calls of the store.
fn store_faults() -> Faults {
    Faults {
        throttle: 0.04,
        server_error: 0.02,
        reset_before: 0.02,
        reset_after: 0.02,
        partial: 0.05,
        ..Faults::default()
    }
}
