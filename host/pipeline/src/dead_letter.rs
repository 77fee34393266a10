//! Dead letters: records that could not go on, kept whole with the reason, to be looked at and driven through again.

use std::fmt;
use std::str::FromStr;

use paceline_engine::Digest;
use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::position::RecordPosition;
use crate::store::Key;

macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident $text:literal)*) => {
        /// Why a record could not go on, as operators count it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Cause { $($(#[$doc])* $name,)* }

        impl Cause {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word for it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

causes! {
    /// The payload has no bytes.
    Empty "empty"
    /// The payload is larger than is allowed.
    TooLarge "too-large"
    /// The data is not in the encoding that its sender promised.
    Undecodable "undecodable"
    /// The payload is not UTF-8.
    NotUtf8 "not-utf8"
    /// The payload is not a JSON object.
    NotJson "not-json"
    /// A field that a plugin or the rulebook reads is not there.
    MissingField "missing-field"
    /// A field has another type than is wanted.
    WrongType "wrong-type"
    /// There is no rulebook for the record's race type.
    NoRulebook "no-rulebook"
    /// A validator rejected it.
    Rejected "rejected"
    /// The score is not a finite number.
    BadScore "bad-score"
    /// A plugin could not deal with it.
    PluginFailed "plugin-failed"
    /// Its group's item can't take it.
    BadGroup "bad-group"
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Cause {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|cause| cause.as_str() == text).ok_or_else(|| {
            let all: Vec<_> = Self::ALL.iter().map(|cause| cause.as_str()).collect();
            format!("no such reason; there are: {}", all.join(", "))
        })
    }
}

/// Why a record could not go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The sort of reason.
    pub cause: Cause,
    /// The reason in words, with field and position.
    pub text: String,
    /// The field that is to blame.
    pub field: Option<String>,
    /// The plugin that said so.
    pub plugin: Option<[u8; 32]>,
    /// The rulebook by which it was judged: race type and version.
    pub rulebook: Option<(String, u64)>,
}

impl Reason {
    /// A reason that no field and no plugin is to blame for.
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
    pub fn under(mut self, race_type: &str, version: u64) -> Self {
        self.rulebook = Some((race_type.to_owned(), version));
        self
    }
}

/// A record that could not go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Its name: shard and place, so that the same record is never buried twice.
    pub id: String,
    /// The shard that it came from.
    pub shard: String,
    /// Its place there.
    pub position: RecordPosition,
    /// Its partition key, where the stream has them.
    pub partition_key: Option<String>,
    /// When the stream took it, in milliseconds since 1970, where the stream says so.
    pub arrival_ms: Option<i64>,
    /// Its payload, whole, but for one that was too long to be held.
    pub payload: Vec<u8>,
    /// The length of the payload as it came, where it was cut.
    pub cut_from: Option<u64>,
    /// Why it is here.
    pub reason: Reason,
    /// The number under which it is being driven through again. Given once, so that a redrive that dies and is started
    /// anew meets the fences with the same positions.
    pub redrive_sequence: Option<u64>,
    /// Groups that hold the record already: it failed in another group after these were written. A redrive leaves them
    /// alone.
    pub folded: Vec<Key>,
}

/// The name of a dead letter.
pub fn id(shard: &str, position: RecordPosition) -> String {
    match position.sub_sequence {
        0 => format!("{shard}:{}", position.sequence),
        sub_sequence => format!("{shard}:{}.{sub_sequence}", position.sequence),
    }
}

impl DeadLetter {
    /// The dead letter of a record.
    pub fn of(batch: &Batch, record: u32, reason: Reason) -> Self {
        let found = &batch.records[record as usize];
        // One that fails again is the same letter with another reason; the next redrive gives it a new ticket.
        if let Some(before) = &found.redriven {
            return Self { reason, redrive_sequence: None, ..DeadLetter::clone(before) };
        }
        Self {
            id: id(&batch.shard, found.position),
            shard: batch.shard.to_string(),
            position: found.position,
            partition_key: found.partition_key.map(|key| String::from_utf8_lossy(batch.slice(key)).into_owned()),
            arrival_ms: found.arrival_ms,
            payload: batch.slice(found.payload).to_vec(),
            cut_from: found.cut_from,
            reason,
            redrive_sequence: None,
            folded: Vec::new(),
        }
    }
}
