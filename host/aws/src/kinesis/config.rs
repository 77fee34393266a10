//! Which stream is read, and how.

use std::fmt;

use aws_sdk_kinesis::primitives::{DateTime, DateTimeFormat};
use serde::Deserialize;

/// The settings of Kinesis as the source.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct KinesisConfig {
    /// The stream's name.
    pub stream: String,
    /// The region. By default the environment's or the profile's.
    pub region: Option<String>,
    /// The service's address, for private endpoints and tests. By default the region's.
    pub endpoint: Option<String>,
    /// How the shards are read.
    pub consumer: ConsumerKind,
    /// The name under which `fan-out` registers with the stream. Two readers need two names.
    pub consumer_name: String,
    /// Where to begin if there are no checkpoints yet.
    pub start: Start,
    /// `poll`: the pause between calls for a shard that is caught up, in milliseconds. Kinesis allows five calls per
    /// second and shard, for all readers together.
    pub idle_ms: u64,
    /// What becomes of user records of aggregates that belong to other shards.
    pub misrouted: Misrouted,
    /// Bytes that may be read and not committed, of all shards together. A response that is larger than expected may
    /// exceed it by up to 10 MiB.
    pub read_ahead_bytes: usize,
    /// The interval at which the shards are listed, in milliseconds. The children of a shard that ended are read at
    /// once.
    pub discover_every_ms: u64,
    /// How long one attempt of a request may take, in milliseconds.
    pub request_ms: u64,
    /// `fan-out`: how long a subscription is kept, in milliseconds. Kinesis ends it after five minutes.
    pub resubscribe_ms: u64,
    /// How long the current batches may take once the process is stopping, in milliseconds.
    pub stop_ms: u64,
}

impl Default for KinesisConfig {
    fn default() -> Self {
        Self {
            stream: String::new(),
            region: None,
            endpoint: None,
            consumer: ConsumerKind::Poll,
            consumer_name: "paceline".to_owned(),
            start: Start::TrimHorizon,
            idle_ms: 500,
            misrouted: Misrouted::Keep,
            read_ahead_bytes: 64 << 20,
            discover_every_ms: 60_000,
            request_ms: 10_000,
            resubscribe_ms: 285_000,
            stop_ms: 20_000,
        }
    }
}

/// How shards are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConsumerKind {
    /// `GetRecords`: 2 MB and five calls per second and shard, shared with all other readers that poll.
    #[default]
    Poll,
    /// `SubscribeToShard`, "enhanced fan-out": 2 MB per second and shard for this reader alone, pushed as it arrives.
    FanOut,
}

/// What becomes of the user records of an aggregate that belong to other shards than the aggregate is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Misrouted {
    /// They are processed where dedup absorbs repetitions, and become dead letters elsewhere.
    #[default]
    Keep,
    /// They become dead letters.
    DeadLetter,
    /// They are dropped: all producers send them again, as the Kinesis Producer Library does.
    Drop,
}

/// Where to begin if there are no checkpoints yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Start {
    /// The oldest record that the stream still has.
    #[default]
    TrimHorizon,
    /// Records that arrive from now on.
    Latest,
    /// The first record that arrived at this time or later, in milliseconds since 1970.
    At(i64),
}

/// The text is not a [`Start`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not TRIM_HORIZON, LATEST, or a time such as 2026-11-23T18:51:00Z")]
pub struct NotAStart(String);

impl TryFrom<String> for Start {
    type Error = NotAStart;

    fn try_from(text: String) -> Result<Self, NotAStart> {
        match text.as_str() {
            "TRIM_HORIZON" => return Ok(Self::TrimHorizon),
            "LATEST" => return Ok(Self::Latest),
            _ => {}
        }
        let time = DateTime::from_str(&text, DateTimeFormat::DateTimeWithOffset);
        let time = time.ok().and_then(|time| time.to_millis().ok()).filter(|time| *time >= 0);
        time.map(Self::At).ok_or(NotAStart(text))
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrimHorizon => f.write_str("TRIM_HORIZON"),
            Self::Latest => f.write_str("LATEST"),
            Self::At(time) => f.write_str(&timestamp(*time)),
        }
    }
}

/// Milliseconds since 1970 as RFC 3339 text.
pub(super) fn timestamp(milliseconds: i64) -> String {
    let text = DateTime::from_millis(milliseconds).fmt(DateTimeFormat::DateTimeWithOffset);
    text.unwrap_or_else(|_| format!("{milliseconds} ms after 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_one_of_two_names_or_a_time() {
        let start = |text: &str| Start::try_from(text.to_owned());
        assert_eq!(start("TRIM_HORIZON"), Ok(Start::TrimHorizon));
        assert_eq!(start("LATEST"), Ok(Start::Latest));
        assert_eq!(start("2021-05-05T18:51:00Z"), Ok(Start::At(1_620_240_660_000)));
        assert_eq!(start("2021-05-05T20:51:00.250+02:00"), Ok(Start::At(1_620_240_660_250)));
        for text in ["", "latest", "2021-05-05", "yesterday", "1620240660"] {
            assert!(start(text).unwrap_err().to_string().contains("TRIM_HORIZON"), "{text}");
        }
    }
}
