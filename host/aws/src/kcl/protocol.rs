//! The format of the lines: messages from the daemon, and answers to it.

use paceline_pipeline::model::RecordPosition;
use paceline_pipeline::shorten;
use serde::{Deserialize, Serialize};

use super::loose::{Loose, Text, Word};

/// Characters of an invalid line that an error shows. The line may contain payloads.
const SHOWN_CHARS: usize = 120;

/// A record, as the daemon writes it.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a record")]
pub struct Record<'a> {
    /// Base64.
    #[serde(borrow, default)]
    pub data: Loose<'a>,
    /// Absent in streams that choose the shard themselves.
    #[serde(borrow, default)]
    pub partition_key: Loose<'a>,
    #[serde(borrow)]
    /// The record's position in the shard.
    pub sequence_number: Word<'a>,
    /// The index within an aggregate.
    #[serde(borrow, default)]
    pub sub_sequence_number: Loose<'a>,
    /// Milliseconds since 1970.
    #[serde(borrow, default)]
    pub approximate_arrival_timestamp: Loose<'a>,
}

impl Record<'_> {
    /// The bytes of its data, without decoding it.
    pub fn data_bytes(&self) -> usize {
        let Loose::Text(data) = &self.data else { return 0 };
        data.trim_end_matches('=').len() * 3 / 4
    }
}

/// A message from the daemon.
#[derive(Debug, PartialEq)]
pub enum Message<'a> {
    /// The shard that this process is for, and the position where it begins.
    Initialize {
        /// The shard's id; never empty.
        shard: Text<'a>,
        /// A sequence number, or `TRIM_HORIZON` and its like. It is logged.
        from: Option<Word<'a>>,
    },
    /// Records of the shard, in order.
    ProcessRecords {
        /// The records.
        records: Vec<Record<'a>>,
        /// How far the daemon is behind the shard's end, in milliseconds.
        behind_ms: Option<i64>,
    },
    /// The answer to a checkpoint.
    Checkpoint {
        /// The class of the exception, if there was one.
        error: Option<Word<'a>>,
    },
    /// Another worker has the lease.
    LeaseLost,
    /// The shard is read to its end.
    ShardEnded,
    /// The daemon is about to release the lease.
    ShutdownRequested,
}

/// The fields of all messages.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a message of the MultiLangDaemon")]
struct Fields<'a> {
    #[serde(borrow)]
    action: Text<'a>,
    #[serde(borrow)]
    shard_id: Option<Text<'a>>,
    #[serde(borrow)]
    sequence_number: Option<Word<'a>>,
    #[serde(borrow)]
    records: Option<Vec<Record<'a>>>,
    #[serde(borrow, default)]
    millis_behind_latest: Loose<'a>,
    #[serde(borrow)]
    error: Option<Word<'a>>,
}

impl Message<'_> {
    /// The message's name.
    pub fn action(&self) -> &'static str {
        match self {
            Self::Initialize { .. } => "initialize",
            Self::ProcessRecords { .. } => "processRecords",
            Self::Checkpoint { .. } => "checkpoint",
            Self::LeaseLost => "leaseLost",
            Self::ShardEnded => "shardEnded",
            Self::ShutdownRequested => "shutdownRequested",
        }
    }
}

/// A line is not a message of the daemon.
#[derive(Debug, thiserror::Error)]
#[error("standard input has a line that is not a message of the MultiLangDaemon: {beginning}")]
pub struct ProtocolError {
    /// The beginning of the line.
    beginning: String,
    source: InvalidMessage,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
enum InvalidMessage {
    #[error("{0}")]
    Json(String),
    #[error("the field `{0}` is missing")]
    MissingField(&'static str),
    #[error("there is no action `{0}`")]
    UnknownAction(String),
    #[error(
        "`shutdown` is the message of a daemon of KCL 1.x, which this program does not support: upgrade \
         amazon-kinesis-client-multilang to 2.x or 3.x, whose daemon sends `leaseLost` and `shardEnded` instead"
    )]
    OldDaemon,
}

/// Parses a line.
pub fn read(line: &[u8]) -> Result<Message<'_>, ProtocolError> {
    parse(line).map_err(|source| ProtocolError { beginning: beginning(line), source })
}

fn parse(line: &[u8]) -> Result<Message<'_>, InvalidMessage> {
    let json = |error: serde_json::Error| InvalidMessage::Json(shorten(&error.to_string()).into_owned());
    let fields: Fields<'_> = serde_json::from_slice(line).map_err(json)?;
    let missing = InvalidMessage::MissingField;
    match &*fields.action {
        "initialize" => {
            let shard = fields.shard_id.filter(|shard| !shard.is_empty()).ok_or_else(|| missing("shardId"))?;
            Ok(Message::Initialize { shard, from: fields.sequence_number })
        }
        "processRecords" => {
            let records = fields.records.ok_or_else(|| missing("records"))?;
            Ok(Message::ProcessRecords { records, behind_ms: fields.millis_behind_latest.integer() })
        }
        "checkpoint" => Ok(Message::Checkpoint { error: fields.error }),
        "leaseLost" => Ok(Message::LeaseLost),
        "shardEnded" => Ok(Message::ShardEnded),
        "shutdownRequested" => Ok(Message::ShutdownRequested),
        "shutdown" => Err(InvalidMessage::OldDaemon),
        other => Err(InvalidMessage::UnknownAction(beginning(other.as_bytes()))),
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
pub enum Answer {
    /// A message is processed.
    Status {
        /// The message's name.
        response_for: &'static str,
    },
    /// The shard is committed up to a position; without one, to its end.
    Checkpoint {
        /// The record's sequence number.
        sequence_number: Option<String>,
        /// Its index within an aggregate.
        sub_sequence_number: Option<u64>,
    },
}

impl Answer {
    /// A checkpoint at a position, or at the shard's end.
    pub fn checkpoint(position: Option<RecordPosition>) -> Self {
        Self::Checkpoint {
            sequence_number: position.map(|position| position.sequence.to_string()),
            sub_sequence_number: position.map(|position| position.sub_sequence),
        }
    }
}

#[cfg(test)]
mod tests {
    use paceline_pipeline::ErrorChain;

    use super::*;

    #[test]
    fn answers_have_the_daemons_format() {
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
    fn an_invalid_line_is_shown_in_part() {
        let long = format!("{{\"action\":\"{}\"}}", "ü".repeat(1_000));
        for (line, why) in [
            ("", "EOF"),
            ("nonsense", "expected"),
            (r#"{"action":"dance"}"#, "no action `dance`"),
            (r#"{"action":"initialize"}"#, "`shardId`"),
            (r#"{"action":"processRecords"}"#, "`records`"),
            (r#"{"action":"processRecords","records":[{"data":"AA=="}]}"#, "sequenceNumber"),
            (&long, "…"),
            (r#"{"action":"shutdown","reason":"TERMINATE"}"#, "upgrade amazon-kinesis-client-multilang to 2.x or 3.x"),
        ] {
            let error = read(line.as_bytes()).unwrap_err();
            let text = ErrorChain(&error).to_string();
            assert!(text.contains(why), "{line}: {text}");
            assert!(text.len() < 1_000, "{} bytes", text.len());
        }
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let line = r#"{"action":"leaseLost","reason":{"of":["any",1]},"shardId":null}"#;
        assert_eq!(read(line.as_bytes()).unwrap(), Message::LeaseLost);
    }

    #[test]
    fn what_is_only_logged_may_have_any_type() {
        for value in ["7", "\"7\"", "null", "1.5", "[1]", "{\"of\":[1]}", "true", "18446744073709551615"] {
            let line = format!(r#"{{"action":"initialize","shardId":"s","sequenceNumber":{value},"new":{value}}}"#);
            assert!(matches!(read(line.as_bytes()), Ok(Message::Initialize { .. })), "{line}");
            let line =
                format!(r#"{{"action":"processRecords","records":[],"millisBehindLatest":{value},"new":{value}}}"#);
            assert!(matches!(read(line.as_bytes()), Ok(Message::ProcessRecords { .. })), "{line}");
            let line = format!(r#"{{"action":"checkpoint","sequenceNumber":{value},"error":{value}}}"#);
            assert!(matches!(read(line.as_bytes()), Ok(Message::Checkpoint { .. })), "{line}");
        }
    }
}
