//! Which stream, and how it is read.

use std::fmt;

use aws_sdk_kinesis::primitives::{DateTime, DateTimeFormat};
use serde::Deserialize;

/// The settings of Kinesis as the source.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct KinesisConfig {
    /// The stream's name.
    pub stream: String,
    /// The region. Without it, what the environment or the profile says.
    pub region: Option<String>,
    /// The address of the service, for private endpoints and tests. Without it, the region's.
    pub endpoint: Option<String>,
    /// How the shards are read.
    pub consumer: ConsumerKind,
    /// The name under which `fan-out` registers with the stream. Two readers need two names.
    pub consumer_name: String,
    /// Where to begin when there are no checkpoints yet.
    pub start: Start,
    /// `poll`: how long a shard that is caught up is left alone, in milliseconds. Kinesis allows five calls a second and
    /// shard, to all readers together.
    pub idle_ms: u64,
    /// Bytes that may be read ahead of what is done, of all shards together. What one answer has beyond the expected
    /// comes on top: 10 MiB at most.
    pub read_ahead_bytes: usize,
    /// How often the stream is asked for new shards, in milliseconds. The end of a shard is followed at once.
    pub discover_every_ms: u64,
    /// How long one attempt of a request may take, in milliseconds.
    pub request_ms: u64,
    /// `fan-out`: how long a subscription is kept, in milliseconds. Kinesis ends it after five minutes.
    pub resubscribe_ms: u64,
    /// How long the batches in hand may take when the process is told to stop, in milliseconds.
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
    /// `GetRecords`: 2 MB and five calls a second and shard, shared with all other readers that poll.
    #[default]
    Poll,
    /// `SubscribeToShard`, "enhanced fan-out": 2 MB a second and shard for this reader alone, pushed as it comes.
    FanOut,
}

/// Where to begin when there are no checkpoints yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Start {
    /// The oldest record that the stream still has.
    #[default]
    TrimHorizon,
    /// What comes from now on.
    Latest,
    /// The first record that arrived then or later, in milliseconds since 1970.
    At(i64),
}

impl TryFrom<String> for Start {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "TRIM_HORIZON" => return Ok(Self::TrimHorizon),
            "LATEST" => return Ok(Self::Latest),
            _ => {}
        }
        let time = DateTime::from_str(&text, DateTimeFormat::DateTimeWithOffset);
        let time = time.ok().and_then(|time| time.to_millis().ok()).filter(|time| *time >= 0);
        time.map(Self::At)
            .ok_or_else(|| format!("`{text}` is none of TRIM_HORIZON, LATEST, and a time such as 2026-11-23T18:51:00Z"))
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

/// Milliseconds since 1970 as people write them.
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
            assert!(start(text).unwrap_err().contains("TRIM_HORIZON"), "{text}");
        }
    }
}
