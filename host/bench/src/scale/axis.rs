//! What grows, and what a size is made of.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Something that grows.
pub(super) struct Axis {
    /// In the plural, as in "200 shards".
    pub(super) name: &'static str,
    pub(super) singular: &'static str,
    /// What a size is made of, for people.
    pub(super) what: &'static str,
    pub(super) sizes: &'static [usize],
    pub(super) load: fn(usize) -> Load,
}

impl Axis {
    /// Its name in JSON.
    pub(super) fn key(&self) -> String {
        self.name.replace(' ', "_")
    }
}

pub(super) const AXES: [Axis; 5] = [
    Axis {
        name: "shards",
        singular: "shard",
        what: "a stream is polled, 10 racers and 2,000 messages in each shard",
        sizes: &[1, 10, 50, 200],
        load: |size| Load { shards: size, ..Load::default() },
    },
    Axis {
        name: "racers",
        singular: "racer",
        what: "a race of batches of a second, or of 10,000 messages where a second has more",
        sizes: &[10, 100, 1_000, 10_000, 100_000],
        load: |size| Load { racers: size, ..Load::default() },
    },
    Axis {
        name: "race types",
        singular: "race type",
        what: "each with a rulebook of its own, the same plugins, and 10 racers, in batches of a second",
        sizes: &[1, 10, 100, 1_000],
        load: |size| Load { race_types: size, racers: 10, ..Load::default() },
    },
    Axis {
        name: "plugins",
        singular: "plugin",
        what: "scorers with bytes of their own, each with a rulebook and 100 racers, in batches of a second",
        sizes: &[1, 10, 100],
        load: |size| Load { race_types: size, racers: 100, has_own_scorers: true, ..Load::default() },
    },
    Axis {
        name: "aggregates",
        singular: "aggregate",
        what: "of one rulebook, 1,000 racers, in batches of a second",
        sizes: &[1, 2, 4, 8],
        load: |size| Load { racers: 1_000, aggregates: size, ..Load::default() },
    },
];

/// What a size is made of. A step is a second of it: a message of each racer of each race type.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Load {
    pub(super) race_types: usize,
    /// Of each race type.
    pub(super) racers: usize,
    pub(super) aggregates: usize,
    /// Whether each race type has a scorer with bytes of its own.
    pub(super) has_own_scorers: bool,
    /// Shards that are read. None, if batches come from memory.
    pub(super) shards: usize,
}

impl Default for Load {
    fn default() -> Self {
        Self { race_types: 1, racers: 10, aggregates: 1, has_own_scorers: false, shards: 0 }
    }
}

/// How a size is measured.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum Kind {
    /// Batches from memory through the pipeline.
    Host,
    /// Batches from a stream.
    Reader,
}

/// Records of a shard.
pub(super) const RECORDS_OF_A_SHARD: usize = 2_000;

/// What a process measures.
#[derive(Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) kind: Kind,
    pub(super) size: usize,
    pub(super) load: Load,
    /// The folder of the registry.
    pub(super) registry: PathBuf,
    /// The endpoint of the stream, for a reader.
    pub(super) endpoint: String,
}

impl Job {
    /// Records of a second, or of a whole stream.
    pub(super) fn records_in_a_step(&self) -> usize {
        match self.kind {
            Kind::Host => self.load.race_types * self.load.racers,
            Kind::Reader => self.load.shards * RECORDS_OF_A_SHARD,
        }
    }
}
