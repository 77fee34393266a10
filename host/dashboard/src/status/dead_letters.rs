use std::collections::BTreeMap;

use paceline_doctor::Timestamp;
use serde::{Deserialize, Serialize};

/// Records that could not go on.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DeadLetters {
    /// Their numbers by reason, such as `rejected`.
    pub by_reason: BTreeMap<String, u64>,
    /// Whether there are more than were counted.
    #[serde(default)]
    pub more: bool,
    /// The newest ones, the newest first.
    pub newest: Vec<DeadLetterSummary>,
}

/// A dead letter without its payload.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DeadLetterSummary {
    /// Its id, the record's position.
    pub id: String,
    /// Its reason, such as `rejected`.
    pub reason: String,
    /// What happened, in words.
    pub message: String,
    /// When its record arrived in the stream, if the stream recorded it.
    pub time: Option<Timestamp>,
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    /// Id, reason, message and time.
    pub summary: DeadLetterSummary,
    /// The field at fault.
    pub field: Option<String>,
    /// The rulebook that evaluated the record, such as `flat@2`.
    pub rulebook: Option<String>,
    /// The digest of the plugin that rejected it.
    pub plugin: Option<String>,
    /// The record's partition key.
    pub partition_key: Option<String>,
    /// Whether its groups may hold the record already.
    pub unsure: bool,
    /// The payload's length, if only its beginning is stored.
    pub cut_from: Option<u64>,
    /// The record's payload.
    pub payload: Payload,
}

/// A payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// One that is UTF-8.
    Text(String),
    /// Another one, in hexadecimal.
    Hex(String),
}

impl DeadLetters {
    /// The number of those that were counted.
    pub fn total(&self) -> u64 {
        self.by_reason.values().sum()
    }
}
