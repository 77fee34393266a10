//! The log of changes: the only place where anything about the rules is decided.
//!
//! An entry is one object, created only if absent, with the whole rules after its change and the digest of the bytes
//! before it. So nothing has to be summed up: the newest valid entry is all that a host needs, and a poll is one read of
//! the next revision.

use std::time::SystemTime;

use paceline_engine::Digest;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::RegistryError;
use super::position::Position;
use super::registry::Registry;
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

/// Who changes the rules, and why.
#[derive(Debug, Default)]
pub struct Author {
    /// A name that others know.
    pub by: String,
    /// The reason.
    pub why: Option<String>,
    /// The time; `None` for now.
    pub at: Option<SystemTime>,
    /// The key to sign with. Needed where hosts trust only certain keys.
    pub key: Option<SigningKey>,
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

/// What reading on found.
#[derive(Clone, Debug, PartialEq)]
pub enum Read {
    /// A valid entry.
    Entry(Box<Entry>),
    /// An entry that is not used.
    Skipped {
        /// Its revision.
        revision: u64,
        /// Why.
        why: InvalidEntry,
    },
}

/// How far a log is read, and the rules there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tail {
    /// The last revision that was read; 0 for none.
    pub revision: u64,
    /// The digest of the bytes of the last revision.
    digest: Option<Digest>,
    /// The registry's id, once an entry was read.
    pub registry: Option<String>,
    /// The rules of the last valid entry.
    pub rules: Rules,
    /// The last valid entry.
    newest: Option<Position>,
    /// The next revision and its format, if the entry is newer than this program.
    stopped_at: Option<(u64, u32)>,
}

/// The part of an entry that all formats have.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl Tail {
    /// Reads a log to its end. Starts at the newest valid entry.
    pub async fn open(registry: &Registry) -> Result<(Self, Vec<Read>), RegistryError> {
        let mut tail = Self::default();
        let newest = match registry.head().await? {
            Some(hint) if registry.entry(hint).await?.is_some() => hint,
            _ => registry.greatest_revision().await?,
        };
        for revision in (1..=newest).rev() {
            let Some(bytes) = registry.entry(revision).await? else { continue };
            // Nothing is known of the entry before: that it is of one chain with those after it is verified from here on.
            if let Ok(entry) = Entry::from_bytes(&bytes, revision, registry.trusted()) {
                tail.accept(&bytes, &entry);
                break;
            }
        }
        let reads = tail.read_on(registry).await?;
        Ok((tail, reads))
    }

    /// Reads a log from an entry on, whose digest is known. `None` if the log has another entry there, or if neither it nor
    /// one after it is a valid entry of the chain.
    pub(super) async fn open_at(
        registry: &Registry,
        id: &str,
        from: Position,
    ) -> Result<Option<(Self, Vec<Read>)>, RegistryError> {
        let Some(bytes) = registry.entry(from.revision).await? else { return Ok(None) };
        if Digest::of(&bytes) != from.digest {
            return Ok(None);
        }
        let (revision, digest) = (from.revision, Some(from.digest));
        let mut tail = Self { revision, digest, registry: Some(id.to_owned()), ..Self::default() };
        // It need not be valid any more: its key may have been replaced by the one that signed the next entry.
        if let Ok(entry) = Entry::from_bytes(&bytes, revision, registry.trusted()) {
            tail.accept(&bytes, &entry);
        }
        let reads = tail.read_on(registry).await?;
        Ok(tail.newest.is_some().then_some((tail, reads)))
    }

    /// The last valid entry; `None` before the first.
    pub fn newest(&self) -> Option<Position> {
        self.newest
    }

    /// The revision of the last valid entry; 0 before the first.
    pub(super) fn newest_revision(&self) -> u64 {
        self.newest.map_or(0, |newest| newest.revision)
    }

    /// Reads what was added.
    pub async fn read_on(&mut self, registry: &Registry) -> Result<Vec<Read>, RegistryError> {
        let mut reads = Vec::new();
        while let Some(bytes) = registry.entry(self.revision + 1).await? {
            let revision = self.revision + 1;
            match Entry::from_bytes(&bytes, revision, registry.trusted())
                .and_then(|entry| self.check(&entry).map(|()| entry))
            {
                Ok(entry) => {
                    self.accept(&bytes, &entry);
                    reads.push(Read::Entry(Box::new(entry)));
                }
                Err(why @ InvalidEntry::Format(format)) => {
                    // What a later entry changes can't be known. It is reported once.
                    if self.stopped_at.replace((revision, format)) != Some((revision, format)) {
                        reads.push(Read::Skipped { revision, why });
                    }
                    break;
                }
                Err(why) => {
                    // The next entry chains over these bytes.
                    self.revision = revision;
                    self.digest = Some(Digest::of(&bytes));
                    reads.push(Read::Skipped { revision, why });
                }
            }
        }
        Ok(reads)
    }

    /// The entry at which reading stopped, because it is newer than this program.
    pub(super) fn stopped_at(&self) -> Option<(u64, InvalidEntry)> {
        self.stopped_at.map(|(revision, format)| (revision, InvalidEntry::Format(format)))
    }

    /// The entry after this one. The registry's first entry gives it its id.
    pub(super) fn next(&self, author: &Author, changes: Vec<Change>, rules: Rules) -> Entry {
        let Author { by, why, at, .. } = author;
        let at = humantime::format_rfc3339_millis(at.unwrap_or_else(SystemTime::now)).to_string();
        let mut entry = Entry {
            format: LOG_FORMAT,
            registry: self.registry.clone().unwrap_or_default(),
            revision: self.revision + 1,
            previous: self.digest,
            at,
            by: by.clone(),
            why: why.clone(),
            changes,
            rules,
        };
        if self.registry.is_none() {
            // Derived from what it begins with, so that a package whose author and time are given is reproducible.
            entry.registry = Digest::of(&entry.to_bytes(None)).hex()[..32].to_owned();
        }
        entry
    }

    /// Goes on to an entry that was just written.
    pub(super) fn accept(&mut self, bytes: &[u8], entry: &Entry) {
        let digest = Digest::of(bytes);
        self.revision = entry.revision;
        self.digest = Some(digest);
        self.newest = Some(Position { revision: entry.revision, digest });
        self.registry = Some(entry.registry.clone());
        self.rules = entry.rules.clone();
    }

    fn check(&self, entry: &Entry) -> Result<(), InvalidEntry> {
        if entry.previous != self.digest {
            return Err(InvalidEntry::Foreign("it does not follow the bytes of the entry before"));
        }
        match &self.registry {
            Some(registry) if *registry != entry.registry => Err(InvalidEntry::Foreign("it names another registry")),
            _ => Ok(()),
        }
    }
}

/// The entry of a revision, if there is a valid one.
pub async fn entry_at(registry: &Registry, revision: u64) -> Result<Option<Entry>, RegistryError> {
    let bytes = registry.entry(revision).await?;
    Ok(bytes.and_then(|bytes| Entry::from_bytes(&bytes, revision, registry.trusted()).ok()))
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
