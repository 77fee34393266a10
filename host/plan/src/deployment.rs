//! What the load comes into: stream, host, table and rulebook.

use paceline_capacity::{dynamodb, kinesis, lambda};
use serde::{Deserialize, Serialize};

/// A deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Deployment {
    /// Open shards of the stream.
    pub shards: u32,
    /// How long the stream keeps records.
    pub retention_hours: u32,
    /// Other consumers that poll the stream and share its limits of reads.
    pub other_pollers: u32,
    /// What reads the stream.
    pub consumer: Consumer,
    /// The capacity of the table.
    pub table: TableMode,
    /// The `[[aggregate]]`s of the rulebook.
    pub aggregates: Vec<Aggregate>,
    /// How the table is retried: `[retry]` of the configuration.
    pub retry: Retry,
    /// Metrics that alarms of CloudWatch watch.
    pub alarms: u32,
}

/// What reads the stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consumer {
    /// A function behind an event source mapping.
    Function(Function),
    /// `paceline run`: one process for all shards.
    Run(Process),
    /// `paceline kcl`: a process for each shard, under Amazon's MultiLangDaemon.
    Kcl(Process),
}

/// A function and its event source mapping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Function {
    /// The maximum records of a batch.
    pub batch_size: u32,
    /// The batching window, in seconds.
    pub window_seconds: u32,
    /// The tumbling window, in seconds; 0 for none.
    pub tumbling_seconds: u32,
    /// Concurrent batches of a shard.
    pub factor: u32,
    /// Memory in megabytes, to which processor time is proportional.
    pub memory_mb: u32,
    /// The time-out, in seconds.
    pub timeout_seconds: u32,
    /// Concurrent invocations that are allowed.
    pub concurrency: u32,
    /// Whether it runs on arm64.
    pub arm: bool,
}

/// A process that runs all the time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Process {
    /// Processors, of all machines together.
    pub processors: f64,
    /// Memory in gigabytes, of all machines together.
    pub gigabytes: f64,
    /// Whether it reads by fan-out.
    pub fan_out: bool,
    /// The maximum records of a batch: `batch.max-records`.
    pub batch_records: u32,
    /// How long the first record of a batch waits for others, in milliseconds: `batch.max-wait-ms`.
    pub wait_ms: u32,
}

/// The capacity of the table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum TableMode {
    /// On demand, at the moment up to so many write units a second.
    OnDemand {
        /// Write units a second, of the table and of its index each.
        units: f64,
    },
    /// Provisioned.
    Provisioned {
        /// Write units a second of the table.
        units: f64,
        /// Write units a second of its index.
        index_units: f64,
    },
}

/// An `[[aggregate]]` of the rulebook: an item for each racer, written once for each batch that has records of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Aggregate {
    /// The aggregator.
    pub name: String,
    /// Which records it folds.
    pub records: Records,
    /// Bytes of an item, with the host's attributes.
    pub item_bytes: u64,
    /// Which writes also go to the index.
    pub indexed: Indexed,
    /// What recognizes repeated records.
    pub dedup: Dedup,
    /// How many items share the groups of a race; 0 if each group has an item of its own.
    #[serde(default)]
    pub packed_into: u32,
    /// After so many writes of a shared item, what it shows to other programs is written; 0 if it shows nothing.
    #[serde(default)]
    pub show_every: u32,
}

/// Which records are folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Records {
    /// All.
    All,
    /// The last one of each racer in a race.
    Finals,
}

/// Which writes of an item also go to the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Indexed {
    /// None: the item has not the index's attribute.
    Never,
    /// Those of final records: the attribute stands from then on.
    Finals,
    /// All, with an attribute that keeps its value: one write of the index each.
    Always,
    /// All, with an attribute that changes: the index deletes the old entry and writes the new one.
    Changing,
}

/// What recognizes repeated records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dedup {
    /// The position in the shard.
    Sequence,
    /// A number in the record.
    Ordinal,
}

/// `[retry]` of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Retry {
    /// How long a write is retried, in milliseconds.
    pub deadline_ms: u64,
    /// The bound of the first wait, in milliseconds. Each further bound is twice as long.
    pub first_wait_ms: u64,
    /// The longest wait, in milliseconds.
    pub longest_wait_ms: u64,
}

/// Bytes of an item beside its state: keys, `@revision`, `@rulebook`, `@plugins` and the other attributes of the host.
pub(crate) const ITEM_OVERHEAD_BYTES: u64 = 480;

impl Aggregate {
    /// An aggregator with states of about so many bytes, dedup state and outputs included.
    #[must_use]
    pub fn new(name: &str, state_bytes: u64) -> Self {
        Self {
            name: name.to_owned(),
            records: Records::All,
            item_bytes: ITEM_OVERHEAD_BYTES.saturating_add(state_bytes),
            indexed: Indexed::Never,
            dedup: Dedup::Ordinal,
            packed_into: 0,
            show_every: 0,
        }
    }

    /// The aggregators of `examples/alleycat/rulebooks/flat.toml`.
    #[must_use]
    pub fn alleycat() -> Vec<Self> {
        vec![
            Self { indexed: Indexed::Finals, packed_into: 4, show_every: 10, ..Self::new("last-output", 120) },
            Self { records: Records::Finals, indexed: Indexed::Always, ..Self::new("best-output", 120) },
        ]
    }
}

impl Default for Deployment {
    /// The defaults of `examples/alleycat/template.yaml`.
    fn default() -> Self {
        Self {
            shards: 1,
            retention_hours: kinesis::RETENTION_HOURS,
            other_pollers: 0,
            consumer: Consumer::Function(Function::default()),
            table: TableMode::OnDemand { units: dynamodb::ON_DEMAND_WRITE_UNITS },
            aggregates: Aggregate::alleycat(),
            retry: Retry::default(),
            alarms: 29,
        }
    }
}

impl Default for Function {
    fn default() -> Self {
        Self {
            batch_size: 5_000,
            window_seconds: 5,
            tumbling_seconds: 0,
            factor: 1,
            memory_mb: 1_024,
            timeout_seconds: 60,
            concurrency: lambda::ACCOUNT_CONCURRENCY,
            arm: false,
        }
    }
}

impl Default for Process {
    fn default() -> Self {
        Self { processors: 1.0, gigabytes: 2.0, fan_out: false, batch_records: 10_000, wait_ms: 1_000 }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self { deadline_ms: 30_000, first_wait_ms: 20, longest_wait_ms: 2_000 }
    }
}

impl Deployment {
    /// The function, if there is one.
    #[must_use]
    pub fn function(&self) -> Option<&Function> {
        match &self.consumer {
            Consumer::Function(function) => Some(function),
            Consumer::Run(_) | Consumer::Kcl(_) => None,
        }
    }

    /// Concurrent batches of a shard.
    #[must_use]
    pub fn factor(&self) -> u32 {
        self.function().map_or(1, |function| function.factor.max(1))
    }
}
