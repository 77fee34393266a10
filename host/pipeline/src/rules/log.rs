//! The log of changes: the only place where anything about the rules is decided.
//!
//! An entry is one object, created only if absent, with the whole rules after its change and the digest of the bytes
//! before it. So nothing has to be summed up: the newest valid entry is all that a host needs, and a poll is one read of
//! the next revision.

use std::time::SystemTime;

use paceline_engine::Digest;

use super::entry::{Change, Entry, InvalidEntry, LOG_FORMAT};
use super::error::RegistryError;
use super::position::Position;
use super::registry::Registry;
use super::routing::Rules;
use super::signature::SigningKey;

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
    /// Entries that are not there, although later ones are.
    Missing {
        /// The first revision without an entry.
        first: u64,
        /// The last one of those that follow it without an entry.
        last: u64,
        /// The greatest revision that has an entry.
        newest: u64,
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

    /// Reads a whole log from its first entry on, beyond missing ones.
    pub async fn read_whole(registry: &Registry) -> Result<(Self, Vec<Read>), RegistryError> {
        // Listed first: what is written in the meantime is not taken for missing.
        let revisions = registry.revisions().await?;
        let newest = revisions.last().copied().unwrap_or(0);
        let mut tail = Self::default();
        let mut reads = tail.read_on(registry).await?;
        for next in revisions {
            if next <= tail.revision {
                continue;
            }
            if tail.stopped_at.is_some() {
                break;
            }
            reads.push(Read::Missing { first: tail.revision + 1, last: next - 1, newest });
            tail.skip_to(registry, next).await?;
            reads.extend(tail.read_on(registry).await?);
        }
        Ok((tail, reads))
    }

    /// Goes on to the entry after missing ones. What it has to follow is known from nothing but itself.
    async fn skip_to(&mut self, registry: &Registry, next: u64) -> Result<(), RegistryError> {
        let bytes = registry.entry(next).await?;
        let entry = bytes.and_then(|bytes| Entry::from_bytes(&bytes, next, registry.trusted()).ok());
        self.revision = next - 1;
        self.digest = entry.and_then(|entry| entry.previous);
        Ok(())
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
