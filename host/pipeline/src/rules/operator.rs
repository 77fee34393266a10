//! The operator's side of the registry: rulebooks are published, and the log of changes is written.
//!
//! # Layout
//!
//! - this file: how a change gets into the log.
//! - `change`: what an operator asks for, and what it makes of the rules.
//! - `trial`: changes that begin and end a trial.
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
mod trial;

use std::collections::BTreeMap;

pub use change::{ChangeError, Request};
pub use folder::{FolderError, RulesFolder};
pub use precompile::{CompiledError, precompile, precompile_package};
pub use prepare::{PluginFiles, Prepared, RemotePlugins, prepare, prepare_with_samples, remote_plugins};
pub use replay_rules::{ReplayRules, ReplayedRulebook, replay_rules};

pub use super::log::Author;
use super::log::{Change, Read, Tail};
use super::registry::{Created, Registry};
use super::routing::{Routing, Rules};
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
}

/// Changes that are worked out and not made yet.
#[derive(Debug)]
pub struct Plan<'r> {
    requests: &'r [Request<'r>],
    /// The log as the plan found it, and what its race types ran.
    tail: Tail,
    seen: BTreeMap<String, Routing>,
    changes: Vec<Change>,
    rules: Rules,
}

impl Plan<'_> {
    /// What would change, and the revision that it would be.
    pub fn changed(&self) -> Changed {
        let revision = self.tail.revision + u64::from(!self.changes.is_empty());
        Changed { changes: self.changes.clone(), revision, rules: self.rules.clone() }
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
        let (tail, _) = Tail::open(self.registry).await?;
        let (changes, rules) = self.edit(&tail, requests).await?;
        Ok(Plan { requests, seen: tail.rules.routing.clone(), tail, changes, rules })
    }

    /// Makes the changes of a plan, all in one entry of the log.
    ///
    /// Two operators who write the same revision at once: one wins, the other one reads on and checks its changes again.
    /// Where a race type was changed since the plan was made, the plan is void.
    pub async fn commit(&self, author: &Author, plan: Plan<'_>) -> Result<Changed, ChangeError> {
        let Plan { requests, seen, mut tail, mut changes, mut rules } = plan;
        if changes.is_empty() {
            return Ok(Changed { changes, revision: tail.revision, rules });
        }
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
            let entry = tail.next(author, changes, rules);
            let bytes = entry.to_bytes(author.key.as_ref());
            if self.registry.create_entry(entry.revision, &bytes).await? == Created::Done {
                // Without the hint, reading starts from the names of all entries.
                if let Err(error) = self.registry.put_head(entry.revision).await {
                    tracing::warn!("the change is made; the hint at it can't be written: {error}");
                }
                return Ok(Changed { changes: entry.changes, revision: entry.revision, rules: entry.rules });
            }
            for read in tail.read_on(self.registry).await? {
                if let Read::Entry(entry) = read
                    && let Some(race_type) = overtaken(requests, &seen, &entry.rules)
                {
                    let (revision, by) = (entry.revision, entry.by.clone());
                    return Err(ChangeError::Void { race_type, revision, by });
                }
            }
            (changes, rules) = self.edit(&tail, requests).await?;
            if changes.is_empty() {
                return Ok(Changed { changes, revision: tail.revision, rules });
            }
        }
    }

    async fn edit(&self, tail: &Tail, requests: &[Request<'_>]) -> Result<(Vec<Change>, Rules), ChangeError> {
        if let Some((revision, why)) = tail.stopped_at() {
            return Err(ChangeError::Invalid(format!("entry {revision} of the log can't be read: {why}")));
        }
        let mut edit = Edit {
            registry: self.registry,
            route: self.route,
            rules: tail.rules.clone(),
            revision: tail.revision + 1,
            changes: Vec::new(),
            documents: BTreeMap::new(),
        };
        for request in requests {
            edit.apply(request).await?;
        }
        Ok((edit.changes, edit.rules))
    }
}

/// A race type that these requests change and that somebody else changed since.
fn overtaken(requests: &[Request<'_>], seen: &BTreeMap<String, Routing>, now: &Rules) -> Option<String> {
    let concerned = requests.iter().filter_map(|request| match request {
        Request::Publish(_) | Request::Sign => None,
        Request::Activate { race_type, .. }
        | Request::Try { race_type, .. }
        | Request::Promote { race_type }
        | Request::Rollback { race_type }
        | Request::Retire { race_type }
        | Request::Repin { race_type, .. } => Some(race_type),
    });
    concerned.into_iter().find(|race_type| seen.get(*race_type) != now.routing.get(*race_type)).cloned()
}
