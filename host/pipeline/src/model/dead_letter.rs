//! Dead letters: records that could not be processed, kept whole with the reason, for inspection and redrive.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use paceline_engine::Digest;
use serde::{Deserialize, Serialize};

use super::key::Key;
use super::position::RecordPosition;
use super::rulebook_id::RulebookId;

macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident $text:literal)*) => {
        /// Why a record could not be processed, by category.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Cause { $($(#[$doc])* $name,)* }

        impl Cause {
            /// All causes.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name in reports, metrics and arguments.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

causes! {
    /// The payload has no bytes.
    Empty "empty"
    /// The payload is longer than `max-payload-bytes`.
    TooLarge "too-large"
    /// The data is not in the encoding that its sender declares.
    Undecodable "undecodable"
    /// The record belongs to another shard, to which its producer may have sent it again.
    Misrouted "misrouted"
    /// The payload is not UTF-8.
    NotUtf8 "not-utf8"
    /// The payload is not a JSON object.
    NotJson "not-json"
    /// A field that a plugin or the rulebook reads is missing.
    MissingField "missing-field"
    /// A field has another type than a plugin or the rulebook reads.
    WrongType "wrong-type"
    /// No rulebook is active for the record's race type.
    NoRulebook "no-rulebook"
    /// The rulebook that the record's race is pinned to can't be loaded, for longer than `hold-seconds`.
    PinUnresolved "pin-unresolved"
    /// The state of the record's group has a format that its aggregator does not take, for longer than `hold-seconds`.
    StateFormat "state-format"
    /// The item of the record's group has another dedup rule than its rulebook, for longer than `hold-seconds`.
    Dedup "dedup"
    /// The ordinal of the record is so far behind those of its group that it is not known whether the group holds it.
    TooOld "too-old"
    /// The record's stream was created again under its name: the positions that its group holds are of the one before.
    OtherStream "other-stream"
    /// The value of the pinned field is too long.
    BadPin "bad-pin"
    /// A validator rejected the record.
    Rejected "rejected"
    /// The score is not a finite number.
    BadScore "bad-score"
    /// A plugin failed on the record.
    PluginFailed "plugin-failed"
    /// The item of the record's group can't take it.
    BadGroup "bad-group"
    /// An event source mapping gave up the record's batch.
    GivenUp "given-up"
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text names no [`Cause`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such reason; the reasons are: {}", Cause::ALL.iter().map(|cause| cause.as_str()).collect::<Vec<_>>().join(", "))]
pub struct UnknownCause;

impl FromStr for Cause {
    type Err = UnknownCause;

    fn from_str(text: &str) -> Result<Self, UnknownCause> {
        Self::ALL.iter().copied().find(|cause| cause.as_str() == text).ok_or(UnknownCause)
    }
}

/// Why a record could not be processed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The category.
    pub cause: Cause,
    /// The reason in words, with field and byte.
    pub text: String,
    /// The field at fault.
    pub field: Option<String>,
    /// The digest of the plugin that gave the reason.
    pub plugin: Option<[u8; 32]>,
    /// The rulebook that the record was evaluated by: name and version.
    pub rulebook: Option<(String, u64)>,
}

impl Reason {
    /// A reason without field, plugin and rulebook.
    pub fn new(cause: Cause, text: impl Into<String>) -> Self {
        Self { cause, text: text.into(), field: None, plugin: None, rulebook: None }
    }

    /// Names the field.
    pub fn at(mut self, field: impl ToString) -> Self {
        self.field = Some(field.to_string());
        self
    }

    /// Names the plugin.
    pub fn by(mut self, plugin: Digest) -> Self {
        self.plugin = Some(*plugin.as_bytes());
        self
    }

    /// Names the rulebook.
    pub fn under(mut self, rulebook: &RulebookId) -> Self {
        self.rulebook = Some((rulebook.name.clone(), rulebook.version));
        self
    }
}

/// The shard of redriven records. Its sequence numbers are the letters' redrive sequences.
pub const REDRIVE_SHARD: &str = "@redrive";

/// What follows the shard in the ids of windows' letters. Those of records have a sequence number there.
const OF_WINDOW: &str = ":window.";

/// A record that could not be processed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Shard and position, so that the same record is stored once.
    pub id: String,
    /// The record's shard.
    pub shard: String,
    /// The record's position in its shard.
    pub position: RecordPosition,
    /// The partition key, where the stream has one.
    pub partition_key: Option<String>,
    /// The arrival in the stream, in milliseconds since 1970.
    pub arrival_ms: Option<i64>,
    /// The payload. It is whole unless `cut_from` is set.
    pub payload: Vec<u8>,
    /// The payload's full length in bytes, if it was cut.
    pub cut_from: Option<u64>,
    /// Why it is a dead letter.
    pub reason: Reason,
    /// The sequence number under which redrives process it. It is assigned once to a record, whatever becomes of its letter:
    /// every redrive of the record meets the dedup state with the same position.
    pub redrive_sequence: Option<u64>,
    /// Groups that hold the record already: it failed in another group after these were written. A redrive skips them.
    pub folded: Vec<Key>,
    /// Whether the record's groups may hold it already without anything that shows it: a redrive could fold it twice.
    pub unsure: bool,
}

impl DeadLetter {
    /// The id of the dead letter of the record at this position.
    pub fn id_of(shard: &str, position: RecordPosition) -> String {
        match position.sub_sequence {
            0 => format!("{shard}:{}", position.sequence),
            sub_sequence => format!("{shard}:{}.{sub_sequence}", position.sequence),
        }
    }

    /// The id of a dead letter of rows of a shard's window. `digest` is of its payload.
    pub(crate) fn id_of_window(shard: &str, digest: Digest) -> String {
        format!("{shard}{OF_WINDOW}{}", &digest.hex()[..16])
    }

    /// Whether it is of rows of a tumbling window, not of a record. Its payload lists the rows.
    pub fn is_of_window(&self) -> bool {
        self.id.strip_prefix(&self.shard).is_some_and(|rest| rest.starts_with(OF_WINDOW))
    }

    /// The order of lists: by shard and position.
    pub fn by_position(&self, other: &Self) -> Ordering {
        self.shard.cmp(&other.shard).then(self.position.cmp(&other.position))
    }
}
