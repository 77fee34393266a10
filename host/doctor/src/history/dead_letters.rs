use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// Records that could not be processed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DeadLetters {
    /// Their numbers by reason, such as `rejected`; nothing if their table was not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_reason: Option<BTreeMap<String, u64>>,
    /// Whether there are more than were counted.
    #[serde(default)]
    pub more: bool,
    /// The newest of each reason, up to three.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub newest: Vec<DeadLetter>,
    /// The queue of batches that the mapping gave up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
}

/// A dead letter, without its payload.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DeadLetter {
    /// Its id, the record's position.
    pub id: String,
    /// Its reason.
    pub reason: String,
    /// What happened, in words.
    pub message: String,
    /// The version that its record was evaluated by, such as `flat@2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rulebook: Option<String>,
    /// When its record arrived in the stream, if the stream recorded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// A queue of batches that an event source mapping gave up.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Queue {
    /// Its URL.
    pub url: String,
    /// Messages in it, about.
    pub messages: u64,
}
