//! An entry of the log: a JSON document, and the signatures of its bytes.

use paceline_engine::Digest;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::routing::Rules;
use super::share::Share;
use super::signature::{PublicKey, Signature, SigningKey};
use super::trial::TrialLimits;
use crate::shorten::shorten;

/// The format of entries that this program reads and writes.
pub const LOG_FORMAT: u32 = 1;

/// One change of the rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Entry {
    /// [`LOG_FORMAT`].
    pub format: u32,
    /// The registry's id: the same in all of its entries.
    pub registry: String,
    /// Counts the entries, from 1.
    pub revision: u64,
    /// The digest of the bytes of the entry before, valid or not; `None` in the first one.
    pub previous: Option<Digest>,
    /// When, in RFC 3339.
    pub at: String,
    /// Who.
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What changed, in order. All of it holds at once.
    pub changes: Vec<Change>,
    /// The rules after the change.
    pub rules: Rules,
}

/// A change, with what it replaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", deny_unknown_fields, rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Change {
    /// A rulebook can be activated from now on.
    Publish {
        /// The rulebook.
        rulebook: Digest,
    },
    /// New races of a race type begin with a rulebook.
    Activate {
        /// The race type.
        race_type: String,
        /// The rulebook.
        rulebook: Digest,
        /// What new races began with.
        replaces: Option<Digest>,
        /// Whether races in progress that ran `replaces` go on with the new rulebook; of a race type that was retired, those
        /// that ran what it had last.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        now: bool,
    },
    /// A share of the new races of a race type begins with a rulebook.
    Canary {
        /// The race type.
        race_type: String,
        /// The rulebook.
        rulebook: Digest,
        /// The current rulebook, which the others begin with.
        beside: Digest,
        /// The share.
        share: Share,
        /// When the canary has failed.
        limits: TrialLimits,
    },
    /// A rulebook validates and scores the records of a race type, and writes nothing.
    Shadow {
        /// The race type.
        race_type: String,
        /// The rulebook.
        rulebook: Digest,
        /// The current rulebook.
        beside: Digest,
    },
    /// The rulebook that was tried becomes the current one.
    Promote {
        /// The race type.
        race_type: String,
        /// The rulebook.
        rulebook: Digest,
        /// What new races began with.
        replaces: Digest,
    },
    /// A race type returns to the rulebook before, with all races that began since. Or a trial ends.
    Rollback {
        /// The race type.
        race_type: String,
        /// What is taken back.
        from: Digest,
        /// What it returns to.
        to: Digest,
    },
    /// New races of a race type find no rulebook. Pinned races go on.
    Retire {
        /// The race type.
        race_type: String,
        /// What new races began with.
        replaces: Digest,
    },
    /// The rules are signed by another key.
    Sign,
    /// One race goes on with another rulebook.
    Repin {
        /// The race type.
        race_type: String,
        /// The value of the pinned field.
        race: String,
        /// What it ran.
        from: Digest,
        /// What it runs from now on.
        to: Digest,
    },
}

/// Why the bytes of an entry are not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEntry {
    /// They are no entry.
    #[error("it can't be decoded: {0}")]
    Garbage(String),
    /// It is of a later version of paceline. Reading stops before it.
    #[error("it has format {0}, and this program reads format {LOG_FORMAT}: use a later version of paceline")]
    Format(u32),
    /// No key that is trusted has signed it.
    #[error("it is not signed by a trusted key ({0})")]
    Untrusted(&'static str),
    /// It is not the successor of the entry before it.
    #[error("it is not of this log: {0}")]
    Foreign(&'static str),
}

/// The part of an entry that all formats have.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Whether one of the signatures is by a trusted key. Where no key is named, all entries are trusted.
fn verify<'a>(
    entry: &[u8],
    signatures: impl Iterator<Item = serde_json::Result<&'a RawValue>>,
    trusted: &[PublicKey],
) -> Result<(), InvalidEntry> {
    if trusted.is_empty() {
        return Ok(());
    }
    let mut why = InvalidEntry::Untrusted("it has no signature");
    for signature in signatures {
        let signature = signature.and_then(|signature| serde_json::from_str::<Signature>(signature.get()));
        let Ok(signature) = signature else { return Err(InvalidEntry::Untrusted("its signature can't be decoded")) };
        if trusted.iter().any(|key| key.verifies(&signature, entry)) {
            return Ok(());
        }
        why = InvalidEntry::Untrusted("its signature is by another key, or of other bytes");
    }
    Err(why)
}

impl Entry {
    /// Reads the entry of a revision: a JSON document, with any number of signatures of the document's bytes behind it. One
    /// of them must be by a trusted key, unless none is named.
    pub fn from_bytes(bytes: &[u8], revision: u64, trusted: &[PublicKey]) -> Result<Self, InvalidEntry> {
        let garbage = |error: serde_json::Error| InvalidEntry::Garbage(shorten(&error.to_string()).into_owned());
        let mut parts = serde_json::Deserializer::from_slice(bytes).into_iter::<&RawValue>();
        let entry = parts.next().ok_or(InvalidEntry::Garbage("it is empty".to_owned()))?.map_err(garbage)?;
        // Who writes a later format is trusted as well: anybody could stop the reading otherwise.
        verify(entry.get().as_bytes(), parts, trusted)?;
        let Format { format } = serde_json::from_str(entry.get()).map_err(garbage)?;
        if format != LOG_FORMAT {
            return Err(InvalidEntry::Format(format));
        }
        let entry: Self = serde_json::from_str(entry.get()).map_err(garbage)?;
        match entry.revision == revision {
            true => Ok(entry),
            false => Err(InvalidEntry::Foreign("it names another revision than its file")),
        }
    }

    /// The bytes to write, signed if there is a key.
    pub fn to_bytes(&self, key: Option<&SigningKey>) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("an entry has only types that JSON has");
        let signature = key.map(|key| key.sign(&bytes));
        bytes.push(b'\n');
        if let Some(signature) = signature {
            serde_json::to_writer(&mut bytes, &signature).expect("a signature has only texts");
            bytes.push(b'\n');
        }
        bytes
    }
}
