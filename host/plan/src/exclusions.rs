//! Settings that exclude each other.

use paceline_capacity::lambda;
use serde::Serialize;

use crate::deployment::{Dedup, Deployment};
use crate::load::{Keys, Load};

/// Two settings that exclude each other, or one that is out of its range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Exclusion {
    /// Lambda distributes records to concurrent batches by the record's key, and an aggregate has only one.
    #[error(
        "a parallelization factor of {factor} does not work with packed records (KPL): use a factor of 1, or do not pack"
    )]
    FactorWithPacking {
        /// The factor.
        factor: u32,
    },
    /// Records of a group are in several concurrent batches.
    #[error(
        "a parallelization factor of {factor} needs ordinal dedup with random keys, and `{aggregate}` has sequence dedup: \
         use ordinal dedup, or a factor of 1"
    )]
    FactorWithSequence {
        /// The factor.
        factor: u32,
        /// The aggregate.
        aggregate: String,
    },
    /// Each part of a shard would have its own windows.
    #[error("a tumbling window needs a parallelization factor of 1, and it is {factor}")]
    FactorWithWindow {
        /// The factor.
        factor: u32,
    },
    /// Lambda asks for it.
    #[error("a batch size of {batch_size} needs a batching window of at least 1 s, because it is above 10")]
    NoBatchingWindow {
        /// The batch size.
        batch_size: u32,
    },
    /// A setting is out of its range.
    #[error("the {setting} is {value}, not within {least} and {most}")]
    OutOfRange {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: u32,
        /// The least value.
        least: u32,
        /// The greatest value.
        most: u32,
    },
}

/// The largest batch size without a batching window.
const BATCH_WITHOUT_WINDOW: u32 = 10;
/// The least and the most memory of a function, in megabytes.
const MEMORY_MB: (u32, u32) = (128, 10_240);

/// What excludes each other in a deployment and its load.
#[must_use]
pub fn exclusions(load: &Load, deployment: &Deployment) -> Vec<Exclusion> {
    let mut found = Vec::new();
    let mut check = |setting, value, least, most| {
        if value < least || value > most {
            found.push(Exclusion::OutOfRange { setting, value, least, most });
        }
    };
    check("number of shards", deployment.shards, 1, 10_000);
    let Some(function) = deployment.function() else { return found };
    let factor = function.factor;
    check("batch size", function.batch_size, 1, lambda::BATCH_RECORDS);
    check("batching window", function.window_seconds, 0, lambda::BATCHING_WINDOW_SECONDS);
    check("tumbling window", function.tumbling_seconds, 0, lambda::TUMBLING_WINDOW_SECONDS);
    check("parallelization factor", factor, 1, lambda::PARALLELIZATION);
    check("time-out", function.timeout_seconds, 1, lambda::TIMEOUT_SECONDS);
    check("memory", function.memory_mb, MEMORY_MB.0, MEMORY_MB.1);
    if factor > 1 {
        if load.is_packed() {
            found.push(Exclusion::FactorWithPacking { factor });
        }
        if function.tumbling_seconds > 0 {
            found.push(Exclusion::FactorWithWindow { factor });
        }
        let sequence = deployment.aggregates.iter().find(|aggregate| aggregate.dedup == Dedup::Sequence);
        if let (Keys::Random, Some(aggregate)) = (load.keys, sequence) {
            found.push(Exclusion::FactorWithSequence { factor, aggregate: aggregate.name.clone() });
        }
    }
    if function.batch_size > BATCH_WITHOUT_WINDOW && function.window_seconds == 0 {
        found.push(Exclusion::NoBatchingWindow { batch_size: function.batch_size });
    }
    found
}
