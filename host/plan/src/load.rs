//! What producers send.

use serde::{Deserialize, Serialize};

/// Bytes that a KPL aggregate has for each message beside its payload: tags and indexes, about.
const PACKED_MESSAGE_BYTES: u64 = 5;
/// Bytes that a KPL aggregate has for each new partition key beside the key.
const PACKED_KEY_BYTES: u64 = 3;
/// Bytes of an aggregate that belong to no message: its magic number, digest and partition key.
const AGGREGATE_BYTES: u64 = 21;

/// What producers send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Load {
    /// Racers at a time, in all races.
    pub racers: u32,
    /// Messages a second of each racer.
    pub rate: f64,
    /// Bytes of a message.
    pub message_bytes: u64,
    /// Bytes of a partition key.
    pub key_bytes: u64,
    /// What the partition key of a message is.
    pub keys: Keys,
    /// Races at a time. The racers are distributed evenly.
    pub races: u32,
    /// Seconds of a race. The next one follows at once.
    pub race_seconds: u32,
    /// When the final messages of racers come.
    pub finals: Finals,
    /// How producers pack messages into records.
    pub packing: Packing,
    /// Hours a day in which races run.
    pub hours_a_day: f64,
}

/// The partition key of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keys {
    /// The racer's id: a racer's messages stay in one shard, in order.
    #[default]
    Racer,
    /// A random one for each message.
    Random,
}

/// When the final messages of racers come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finals {
    /// All in the last second of the race, and all races end together.
    #[default]
    Together,
    /// Evenly over the time.
    Spread,
}

/// How producers pack messages into records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Packing {
    /// Each message is a record.
    #[default]
    None,
    /// So many messages are a record.
    Messages(u32),
    /// Records of about so many bytes.
    Bytes(u64),
}

impl Default for Load {
    /// The Alleycat races: 1,000 racers, a message of 160 bytes a second each.
    fn default() -> Self {
        Self {
            racers: 1_000,
            rate: 1.0,
            message_bytes: 160,
            key_bytes: 8,
            keys: Keys::Racer,
            races: 1,
            race_seconds: 300,
            finals: Finals::Together,
            packing: Packing::None,
            hours_a_day: 24.0,
        }
    }
}

impl Load {
    /// Messages a second.
    #[must_use]
    pub fn messages_per_second(&self) -> f64 {
        f64::from(self.racers) * self.rate
    }

    /// Messages in a record.
    #[must_use]
    pub fn messages_per_record(&self) -> f64 {
        match self.packing {
            Packing::None => 1.0,
            Packing::Messages(messages) => f64::from(messages.max(1)),
            Packing::Bytes(bytes) => {
                (bytes.saturating_sub(AGGREGATE_BYTES) / self.packed_message_bytes()).max(1) as f64
            }
        }
    }

    /// Whether records are aggregates. An aggregate of one message is sent as the message.
    #[must_use]
    pub fn is_packed(&self) -> bool {
        self.messages_per_record() > 1.0
    }

    /// Records a second.
    #[must_use]
    pub fn records_per_second(&self) -> f64 {
        self.messages_per_second() / self.messages_per_record()
    }

    /// Bytes of a record's data.
    #[must_use]
    pub fn record_bytes(&self) -> u64 {
        match self.is_packed() {
            false => self.message_bytes,
            true => self.messages_per_record() as u64 * self.packed_message_bytes() + AGGREGATE_BYTES,
        }
    }

    /// Bytes of a record that count towards a shard's limits: its data and its partition key.
    #[must_use]
    pub fn counted_bytes(&self) -> u64 {
        self.record_bytes() + if self.is_packed() { 1 } else { self.key_bytes }
    }

    /// Bytes of a message in an aggregate, with a partition key that no other message has.
    fn packed_message_bytes(&self) -> u64 {
        self.message_bytes + PACKED_MESSAGE_BYTES + self.key_bytes + PACKED_KEY_BYTES
    }

    /// The share of the messages that goes to the fullest of `parts` equal ranges of the hash key.
    ///
    /// Random keys distribute evenly. Racers distribute like balls over urns: the expected maximum of `parts` normal
    /// variables is at most √(2 ln parts) standard deviations above their mean.
    #[must_use]
    pub fn hottest_share(&self, parts: u32) -> f64 {
        let even = 1.0 / f64::from(parts.max(1));
        match self.keys {
            Keys::Random => even,
            Keys::Racer => {
                let racers = f64::from(self.racers.max(1));
                let deviation = (even * (1.0 - even) / racers).sqrt();
                (even + deviation * (2.0 * f64::from(parts.max(1)).ln()).sqrt()).min(1.0)
            }
        }
    }

    /// The part of the messages that is final.
    #[must_use]
    pub fn final_share(&self) -> f64 {
        1.0 / (self.rate * f64::from(self.race_seconds)).max(1.0)
    }

    /// The part of the time in which races run.
    #[must_use]
    pub fn duty(&self) -> f64 {
        (self.hours_a_day / 24.0).clamp(0.0, 1.0)
    }
}
