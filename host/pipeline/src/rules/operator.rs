//! The operator's side of the registry: rulebooks are published, and the log of changes is written.
//!
//! # Layout
//!
//! - this file: how a change gets into the log.
//! - `change`: what an operator asks for, and what it makes of the rules.
//! - `trial`: changes that begin and end a trial.
//! - `succession`: whether a change fits what has written the groups so far.
//! - `prepare`: from a rulebook's file to what is published.
//! - `precompile`: compiled code beside plugins.
//! - `samples`, `sample_run`: what a rulebook's author expects of it, and what it gives.
//! - `folder`: a folder of rulebooks as the wanted rules.
//! - `replay_rules`: rules in memory, to replay records by a rulebook that does not run.

mod change;
mod folder;
mod precompile;
mod prepare;
mod replay_rules;
mod sample_run;
mod samples;
mod succession;
mod trial;

use std::collections::BTreeMap;

pub use change::{ChangeError, OneWay, Request};
pub use folder::{FolderError, RulesFolder};
pub use precompile::{CompiledError, precompile, precompile_package};
pub use prepare::{PluginFiles, Prepared, RemotePlugins, prepare, prepare_with_samples, remote_plugins};
pub use replay_rules::{ReplayRules, ReplayedRulebook, replay_rules};

use super::entry::{Change, Entry, InvalidEntry};
pub use super::log::Author;
use super::log::{Read, Tail};
use super::registry::{Created, Registry};
use super::routing::Rules;
use super::signature::SigningKey;
use crate::model::Pointer;
use change::Edit;

/// A change of the rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// What changes, in order. Nothing if the rules are so already.
    pub changes: Vec<Change>,
    /// The revision of the change, or the newest one if nothing changes.
    pub revision: u64,
    /// The rules after the change.
    pub rules: Rules,
    /// Race types that will not be able to return to what they run now.
    pub one_way: Vec<OneWay>,
}

/// Changes that are worked out and not made yet.
#[derive(Debug)]
pub struct Plan<'r> {
    requests: &'r [Request<'r>],
    /// The log as the plan found it.
    tail: Tail,
    edited: Edited,
}

/// What requests make of the rules.
#[derive(Debug)]
struct Edited {
    changes: Vec<Change>,
    rules: Rules,
    one_way: Vec<OneWay>,
}

impl Edited {
    fn at(self, revision: u64) -> Changed {
        let Self { changes, rules, one_way } = self;
        Changed { changes, revision, rules, one_way }
    }
}

impl Plan<'_> {
    /// What would change, and the revision that it would be.
    pub fn changed(self) -> Changed {
        let revision = self.tail.revision + u64::from(!self.edited.changes.is_empty());
        self.edited.at(revision)
    }
}

/// The operator's access to a registry.
#[derive(Clone, Copy, Debug)]
pub struct Operator<'a> {
    /// The registry.
    pub registry: &'a Registry,
    /// The field that names a record's race type.
    pub route: &'a Pointer,
}

impl Operator<'_> {
    /// What these requests would change. Nothing is written.
    pub async fn plan<'r>(&self, requests: &'r [Request<'r>]) -> Result<Plan<'r>, ChangeError> {
        let (tail, reads) = Tail::open(self.registry).await?;
        if tail.newest().is_none() && tail.stopped_at().is_none() && !reads.is_empty() {
            return Err(without_rules(&reads));
        }
        let edited = self.edit(&tail, requests).await?;
        Ok(Plan { requests, tail, edited })
    }

    /// Makes the changes of a plan, all in one entry of the log.
    ///
    /// Two operators who write the same revision at once: one wins, the other one reads on and checks its changes again.
    /// Where a race type was changed since the plan was made, the plan is void.
    pub async fn commit(&self, author: &Author, plan: Plan<'_>) -> Result<Changed, ChangeError> {
        let Plan { requests, mut tail, mut edited } = plan;
        if edited.changes.is_empty() {
            return Ok(edited.at(tail.revision));
        }
        let seen = tail.rules.clone();
        let (trusted, key) = (self.registry.trusted(), author.key.as_ref().map(SigningKey::public));
        if !trusted.is_empty() && key.is_none_or(|key| !trusted.contains(&key)) {
            return Err(ChangeError::Invalid(
                "hosts accept only changes that are signed by one of `rules.trusted-keys`: give such a key with --key FILE"
                    .to_owned(),
            ));
        }
        for request in requests {
            if let Request::Publish(prepared) = request {
                prepared.upload(self.registry).await?;
            }
        }
        loop {
            let entry = tail.next(author, edited.changes, edited.rules);
            let bytes = entry.to_bytes(author.key.as_ref());
            if self.registry.create_entry(entry.revision, &bytes).await? == Created::Done {
                // Without the hint, reading starts from the names of all entries.
                if let Err(error) = self.registry.put_head(entry.revision).await {
                    tracing::warn!("the change is made; the hint at it can't be written: {error}");
                }
                let Entry { revision, changes, rules, .. } = entry;
                return Ok(Changed { revision, changes, rules, one_way: edited.one_way });
            }
            for read in tail.read_on(self.registry).await? {
                if let Read::Entry(entry) = read
                    && let Some(race_type) = overtaken(requests, &seen, &entry.rules)
                {
                    let (revision, by) = (entry.revision, entry.by.clone());
                    return Err(ChangeError::Void { race_type, revision, by });
                }
            }
            edited = self.edit(&tail, requests).await?;
            if edited.changes.is_empty() {
                return Ok(edited.at(tail.revision));
            }
        }
    }

    async fn edit(&self, tail: &Tail, requests: &[Request<'_>]) -> Result<Edited, ChangeError> {
        if let Some((revision, why)) = tail.stopped_at() {
            return Err(ChangeError::Invalid(format!("entry {revision} of the log can't be read: {why}")));
        }
        let mut edit = Edit {
            registry: self.registry,
            route: self.route,
            rules: tail.rules.clone(),
            revision: tail.revision + 1,
            changes: Vec::new(),
            one_way: Vec::new(),
            documents: BTreeMap::new(),
        };
        for request in requests {
            edit.apply(request).await?;
        }
        let Edit { changes, rules, one_way, .. } = edit;
        Ok(Edited { changes, rules, one_way })
    }
}

/// A log without a valid entry is not changed: what comes next would begin another registry, without any of the rules, and
/// hosts would not follow it.
fn without_rules(reads: &[Read]) -> ChangeError {
    let skipped = reads.iter().filter_map(|read| match read {
        Read::Skipped { revision, why } => Some((revision, why)),
        Read::Entry(_) | Read::Missing { .. } => None,
    });
    let entries: Vec<String> = skipped.clone().map(|(revision, why)| format!("entry {revision}: {why}")).collect();
    let what_to_do = match skipped.into_iter().any(|(_, why)| matches!(why, InvalidEntry::Untrusted(_))) {
        true => {
            "To begin with signatures: with a configuration without `rules.trusted-keys`, look at the rules by \
             `paceline rules history` and `status`, sign them by `paceline rules sign --key FILE`, then add the key. To \
             replace a key: trust both until the new one has signed"
        }
        false => "Restore the objects below log/",
    };
    let entries = entries.join("; ");
    ChangeError::Invalid(format!("the log has no valid entry, so its rules are not known: {entries}. {what_to_do}"))
}

/// A race type that these requests change and that somebody else changed since.
fn overtaken(requests: &[Request<'_>], seen: &Rules, now: &Rules) -> Option<String> {
    let is_routed = |race_type: &str| seen.routing.get(race_type) != now.routing.get(race_type);
    let moves = |rules: &Rules, race_type: &str| rules.reruled.iter().filter(|by| by.race_type == race_type).count();
    requests.iter().find_map(|request| {
        let (race_type, is_overtaken) = match request {
            Request::Publish(_) | Request::Sign => return None,
            // What the race runs is all that it is about.
            Request::Repin { race_type, race, pin, .. } => {
                let runs = |rules: &Rules| rules.effective(race_type, race, *pin);
                (race_type, runs(seen) != runs(now))
            }
            Request::Activate { race_type, now: true, .. } | Request::Rollback { race_type } => {
                (race_type, is_routed(race_type) || moves(seen, race_type) != moves(now, race_type))
            }
            Request::Activate { race_type, .. }
            | Request::Try { race_type, .. }
            | Request::Promote { race_type }
            | Request::Retire { race_type } => (race_type, is_routed(race_type)),
        };
        is_overtaken.then(|| race_type.clone())
    })
}
