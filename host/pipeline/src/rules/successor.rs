//! What may follow what: whether groups that one rulebook folded may be folded by another one.

use super::document::{AggregateUse, Rulebook};
use super::error::RulebookError;
use super::routing::StateFormats;
use crate::model::Pointer;

/// A rulebook, and the state formats of its aggregators.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The document.
    pub document: &'a Rulebook,
    /// The state formats, in the order of the document's aggregates.
    pub formats: &'a [StateFormats],
}

/// Which races go on with the successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Succession {
    /// New races only.
    NewRaces,
    /// Races that began before, too; and they may have to go back.
    BothWays,
}

/// Whether a rulebook may follow another one.
///
/// Races of both run beside each other, and groups whose keys do not contain the race are folded by both. So what finds
/// records again must be equal: the pin and, where both have groups of one key, dedup and conditions. And the successor
/// must take the states.
pub fn check_successor(
    before: Candidate<'_>,
    after: Candidate<'_>,
    succession: Succession,
) -> Result<(), RulebookError> {
    one_way(before, after)?;
    if succession == Succession::BothWays {
        let keys = |rulebook: &Rulebook| {
            let mut keys: Vec<String> = rulebook.aggregate.iter().map(key_text).collect();
            keys.sort();
            keys
        };
        if keys(before.document) != keys(after.document) {
            return Err(incompatible(
                before.document,
                "has other groups: races that are in progress would have items that only one of the two writes"
                    .to_owned(),
            ));
        }
        one_way(after, before)?;
    }
    Ok(())
}

fn one_way(before: Candidate<'_>, after: Candidate<'_>) -> Result<(), RulebookError> {
    if before.document.pin != after.document.pin {
        let text = |pin: &Option<Pointer>| pin.as_ref().map_or("nothing".to_owned(), |pin| format!("`{pin}`"));
        let (ours, theirs) = (text(&after.document.pin), text(&before.document.pin));
        return Err(incompatible(
            before.document,
            format!("pins by {theirs}, and this one by {ours}: races in progress would change their rulebook"),
        ));
    }
    for (at, rule) in before.document.aggregate.iter().enumerate() {
        let Some(other) = after.document.aggregate.iter().position(|other| other.key == rule.key) else { continue };
        let next = &after.document.aggregate[other];
        let groups = key_text(rule);
        if next.dedup != rule.dedup {
            return Err(incompatible(
                before.document,
                format!(
                    "has another dedup for the groups {groups}: records that are folded already would not be \
                         recognized. Give the groups another key"
                ),
            ));
        }
        if next.only != rule.only {
            return Err(incompatible(
                before.document,
                format!(
                    "has another `where` for the groups {groups}: their dedup would not show which records they \
                         hold. Give the groups another key"
                ),
            ));
        }
        let into = |rule: &AggregateUse| rule.pack.as_ref().map(|packing| packing.into);
        if into(next) != into(rule) {
            return Err(incompatible(
                before.document,
                format!(
                    "has another `pack.into` for the groups {groups}: they would be looked for in other items. Give the \
                     groups another key"
                ),
            ));
        }
        let (writes, takes) = (&before.formats[at].writes, &after.formats[other]);
        // Both rulebooks fold into such groups for as long as races of both are in progress.
        let fields = rule.key.partition.fields().chain(rule.key.sort.fields());
        let is_shared = before.document.pin.as_ref().is_some_and(|pin| fields.into_iter().all(|field| field != pin));
        if is_shared && !before.formats[at].takes(&takes.writes) {
            return Err(incompatible(
                before.document,
                format!(
                    "does not take the states of the format `{}` that this one would write for the groups {groups}, which \
                     races of both share: give the groups another key",
                    takes.writes
                ),
            ));
        }
        if !takes.takes(writes) {
            return Err(incompatible(
                before.document,
                format!(
                    "writes states of the format `{writes}` for the groups {groups}, and the aggregator `{}` takes only \
                     `{}`: export a migration from `{writes}`, or give the groups another key",
                    next.plugin, takes.writes
                ),
            ));
        }
    }
    Ok(())
}

/// Whether the groups of two race types are disjoint: equal keys must contain the race type. Otherwise two races with the
/// same number would share items, and dedup would drop the records of one of them.
pub(super) fn check_disjoint(
    route: &Pointer,
    (race_type, document): (&str, &Rulebook),
    (other_type, other): (&str, &Rulebook),
) -> Result<(), RulebookError> {
    for rule in &document.aggregate {
        let has_race_type = rule.key.partition.fields().chain(rule.key.sort.fields()).any(|field| field == route);
        if !has_race_type && other.aggregate.iter().any(|theirs| theirs.key == rule.key) {
            return Err(RulebookError::Incompatible(format!(
                "the groups {} of race type {race_type} are also those of race type {other_type}: two races with the same \
                 number would share items. Add the race type, {{{route}}}, to the key",
                key_text(rule)
            )));
        }
    }
    Ok(())
}

fn incompatible(before: &Rulebook, why: String) -> RulebookError {
    RulebookError::Incompatible(format!("{}@{}, which it would replace, {why}", before.name, before.version))
}

fn key_text(rule: &AggregateUse) -> String {
    format!("PK = {:?}, SK = {:?}", rule.key.partition, rule.key.sort)
}
