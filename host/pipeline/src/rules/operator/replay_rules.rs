//! Rules in the process's memory, by which some race types run one rulebook: to see what it would do, while nothing
//! changes for anybody.

use std::collections::BTreeMap;
use std::sync::Arc;

use paceline_engine::{Digest, Engine};

use super::change::{ChangeError, Request};
use super::prepare::Prepared;
use super::{Author, Operator};
use crate::model::RulebookId;
use crate::rules::document::Rulebook;
use crate::rules::entry::Change;
use crate::rules::event::RulesEvent;
use crate::rules::log::Tail;
use crate::rules::registry::{Created, Registry};
use crate::rules::routing::Rules;
use crate::rules::rulebooks::Rulebooks;

/// A rulebook to try.
#[derive(Clone, Copy, Debug)]
pub enum ReplayedRulebook<'a> {
    /// One that is published in the operator's registry.
    Published {
        /// Its digest.
        digest: Digest,
        /// The registry's rules, which name it.
        rules: &'a Rules,
    },
    /// One that need not be published.
    Prepared(&'a Prepared),
}

/// Rules by which race types run one rulebook.
#[derive(Debug)]
pub struct ReplayRules {
    /// The rules, loaded.
    pub rulebooks: Arc<Rulebooks>,
    /// The rulebook.
    pub document: Rulebook,
    /// Its name, version and digest.
    pub id: RulebookId,
}

/// Rules by which these race types run this rulebook. The operator's registry is only read.
///
/// They come from a log like any other, in a registry in memory: whatever would be refused elsewhere is refused here.
pub async fn replay_rules(
    operator: &Operator<'_>,
    engine: &Engine,
    rulebook: ReplayedRulebook<'_>,
    race_types: &[String],
) -> Result<ReplayRules, ChangeError> {
    let memory = Registry::memory();
    let (digest, published) = match rulebook {
        ReplayedRulebook::Prepared(prepared) => {
            prepared.upload(&memory).await?;
            (prepared.digest, prepared.published.clone())
        }
        ReplayedRulebook::Published { digest, rules } => {
            let published = rules.rulebooks.get(&digest).ok_or_else(|| {
                ChangeError::Invalid(format!("no rulebook with the digest {digest} was published: publish it first"))
            })?;
            copy(operator.registry, &memory, digest).await?;
            (digest, published.clone())
        }
    };
    let id = RulebookId { name: published.name.clone(), version: published.version, digest };
    let author = Author { by: "replay".to_owned(), why: None, at: None, key: None };
    let known = Rules { rulebooks: BTreeMap::from([(digest, published)]), ..Rules::default() };
    let first = Tail::default().next(&author, vec![Change::Publish { rulebook: digest }], known);
    let created = memory.create_entry(first.revision, &first.to_bytes(None)).await?;
    debug_assert_eq!(created, Created::Done, "the registry was empty");

    let activate =
        |race_type: &String| Request::Activate { race_type: race_type.clone(), rulebook: digest, now: false };
    let requests: Vec<Request<'_>> = race_types.iter().map(activate).collect();
    let in_memory = Operator { registry: &memory, route: operator.route };
    in_memory.commit(&author, in_memory.plan(&requests).await?).await?;
    let document = memory.rulebook(digest).await?;
    let rulebooks = Rulebooks::new(engine.clone(), memory, operator.route.clone());
    for event in rulebooks.poll().await? {
        if let RulesEvent::Refused { reason, .. } = event {
            return Err(reason.into());
        }
    }
    Ok(ReplayRules { rulebooks: Arc::new(rulebooks), document, id })
}

/// Copies a rulebook and its plugins, each verified against its digest.
async fn copy(from: &Registry, to: &Registry, rulebook: Digest) -> Result<(), ChangeError> {
    let document = from.rulebook(rulebook).await?;
    for plugin in document.digests()? {
        to.add_plugin(&from.plugin(plugin).await?).await?;
    }
    to.add_rulebook(&document).await?;
    Ok(())
}
