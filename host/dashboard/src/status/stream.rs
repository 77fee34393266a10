use std::fmt;

use serde::{Deserialize, Serialize};

/// A stream, and how far it is read.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Stream {
    /// Its name.
    pub name: String,
    /// How long it keeps records.
    pub retention_hours: u32,
    /// The records a second that a shard accepts.
    pub records_limit: f64,
    /// The bytes a second that a shard accepts.
    pub bytes_limit: f64,
    /// The shards that are read.
    pub shards: Vec<Shard>,
}

/// A shard, and how far it is read.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Shard {
    /// Its id, such as `shardId-000000000000`.
    pub id: String,
    /// Its state, if a host that reads it was asked.
    pub state: Option<ShardState>,
    /// The verdict on the course of its positions and ages.
    pub lag: Option<Lag>,
    /// The age of the oldest record that is not committed.
    pub age_seconds: Option<f64>,
    /// The time until that record expires unread; `None` unless the age grows.
    pub loss_in_seconds: Option<f64>,
    /// The records a second that it receives.
    pub records_per_second: Option<f64>,
    /// The bytes a second that it receives.
    pub bytes_per_second: Option<f64>,
}

/// The state of a shard, as `paceline_shard_state` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShardState {
    /// Its parents are not read to their ends.
    Waiting,
    /// Its first request is under way.
    Starting,
    /// It is read.
    Reading,
    /// Its requests fail.
    Failing,
    /// It is read to its end.
    Done,
}

/// How a reader of a shard keeps up, by the course of positions and ages. The order is from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lag {
    /// It is read as fast as it is written.
    KeepingUp,
    /// The age falls.
    CatchingUp,
    /// The position went back.
    ReReading,
    /// The position advances, and the age grows.
    Slow,
    /// Requests succeed, and the position does not advance.
    Stuck,
    /// Nothing reads it.
    Dead,
}

impl fmt::Display for ShardState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Reading => "reading",
            Self::Failing => "failing",
            Self::Done => "done",
        })
    }
}

impl fmt::Display for Lag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::KeepingUp => "keeping up",
            Self::CatchingUp => "catching up",
            Self::ReReading => "re-reading",
            Self::Slow => "slow",
            Self::Stuck => "stuck",
            Self::Dead => "dead",
        })
    }
}
