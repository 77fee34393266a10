//! What the lines say: messages from the daemon, and answers to it.

use std::borrow::Cow;
use std::ops::Deref;

use paceline_pipeline::model::RecordPosition;
use serde::{Deserialize, Serialize};

use crate::Failure;

/// How much of a line that can't be understood is shown. It may hold payloads.
const SHOWN_CHARS: usize = 120;

/// A text, borrowed from the line unless it has escapes.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// A record, as the daemon writes it.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a record")]
pub(crate) struct Record<'a> {
    /// Base64; nothing where the record has none.
    #[serde(borrow)]
    pub(crate) data: Option<Text<'a>>,
    /// Streams that choose the shard themselves have none.
    #[serde(borrow)]
    pub(crate) partition_key: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) sequence_number: Text<'a>,
    /// Which of the records of an aggregate.
    pub(crate) sub_sequence_number: Option<u64>,
    /// Milliseconds since 1970.
    pub(crate) approximate_arrival_timestamp: Option<i64>,
}

/// A message of the daemon's.
#[derive(Debug, PartialEq)]
pub(crate) enum Message<'a> {
    /// The shard that this process is for, and from where on it comes.
    Initialize { shard: Text<'a>, from: Option<Text<'a>> },
    /// Records of the shard, in order.
    ProcessRecords { records: Vec<Record<'a>>, behind_ms: Option<i64> },
    /// The answer to a checkpoint: the name of what went wrong.
    Checkpoint { error: Option<Text<'a>> },
    /// Somebody else has the shard now.
    LeaseLost,
    /// All of the shard has been read.
    ShardEnded,
    /// The lease will be given up.
    ShutdownRequested,
}

/// What a message may have.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a message of the MultiLangDaemon")]
struct Fields<'a> {
    #[serde(borrow)]
    action: Text<'a>,
    #[serde(borrow)]
    shard_id: Option<Text<'a>>,
    #[serde(borrow)]
    sequence_number: Option<Text<'a>>,
    #[serde(borrow)]
    records: Option<Vec<Record<'a>>>,
    millis_behind_latest: Option<i64>,
    #[serde(borrow)]
    error: Option<Text<'a>>,
}

/// Reads a line.
pub(crate) fn read(line: &[u8]) -> Result<Message<'_>, Failure> {
    let wrong = |why: String| {
        format!("a line on standard input that is no message of the daemon's: {}: {why}", beginning(line))
    };
    let fields: Fields<'_> = serde_json::from_slice(line).map_err(|error| wrong(error.to_string()))?;
    let missing = |name| wrong(format!("it has no `{name}`"));
    match &*fields.action {
        "initialize" => {
            let shard = fields.shard_id.filter(|shard| !shard.is_empty()).ok_or_else(|| missing("shardId"))?;
            Ok(Message::Initialize { shard, from: fields.sequence_number })
        }
        "processRecords" => {
            let records = fields.records.ok_or_else(|| missing("records"))?;
            Ok(Message::ProcessRecords { records, behind_ms: fields.millis_behind_latest })
        }
        "checkpoint" => Ok(Message::Checkpoint { error: fields.error }),
        "leaseLost" => Ok(Message::LeaseLost),
        "shardEnded" => Ok(Message::ShardEnded),
        "shutdownRequested" => Ok(Message::ShutdownRequested),
        other => Err(wrong(format!("there is no action `{}`", beginning(other.as_bytes())))),
    }
}

/// The beginning of a text that may be long.
fn beginning(text: &[u8]) -> String {
    // A character has at most four bytes.
    let start = String::from_utf8_lossy(&text[..text.len().min(4 * SHOWN_CHARS)]);
    let mut shown: String = start.chars().take(SHOWN_CHARS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown.escape_debug().to_string()
}

/// An answer to the daemon.
#[derive(Debug, Serialize)]
#[serde(tag = "action", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Answer {
    /// A message has been dealt with.
    Status { response_for: &'static str },
    /// The shard is done so far; with nothing in it, to its end.
    Checkpoint { sequence_number: Option<String>, sub_sequence_number: Option<u64> },
}

impl Answer {
    /// The shard is done up to this place, or to its end.
    pub(crate) fn checkpoint(position: Option<RecordPosition>) -> Self {
        Self::Checkpoint {
            sequence_number: position.map(|position| position.sequence.to_string()),
            sub_sequence_number: position.map(|position| position.sub_sequence),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_what_the_daemon_reads() {
        let text = |answer: &Answer| serde_json::to_string(answer).unwrap();
        assert_eq!(
            text(&Answer::Status { response_for: "processRecords" }),
            r#"{"action":"status","responseFor":"processRecords"}"#
        );
        let position = RecordPosition { sequence: 42.into(), sub_sequence: 7 };
        assert_eq!(
            text(&Answer::checkpoint(Some(position))),
            r#"{"action":"checkpoint","sequenceNumber":"42","subSequenceNumber":7}"#
        );
        assert_eq!(
            text(&Answer::checkpoint(None)),
            r#"{"action":"checkpoint","sequenceNumber":null,"subSequenceNumber":null}"#
        );
    }

    #[test]
    fn what_can_not_be_understood_is_shown_in_part() {
        let long = format!("{{\"action\":\"{}\"}}", "ü".repeat(1_000));
        for (line, why) in [
            ("", "EOF"),
            ("nonsense", "expected"),
            (r#"{"action":"dance"}"#, "no action `dance`"),
            (r#"{"action":"initialize"}"#, "`shardId`"),
            (r#"{"action":"processRecords"}"#, "`records`"),
            (r#"{"action":"processRecords","records":[{"data":"AA=="}]}"#, "sequenceNumber"),
            (&long, "…"),
        ] {
            let said = read(line.as_bytes()).unwrap_err();
            assert!(said.contains(why), "{line}: {said}");
            assert!(said.len() < 1_000, "{} bytes", said.len());
        }
    }

    #[test]
    fn fields_of_later_versions_do_not_matter() {
        let line = r#"{"action":"leaseLost","reason":{"of":["any",1]},"shardId":null}"#;
        assert_eq!(read(line.as_bytes()), Ok(Message::LeaseLost));
    }
}
