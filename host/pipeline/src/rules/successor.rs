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

impl<'a> Candidate<'a> {
    fn aggregates(self) -> impl Iterator<Item = (&'a AggregateUse, &'a StateFormats)> {
        self.document.aggregate.iter().zip(self.formats)
    }
}

/// Why a rulebook may not follow another one.
#[derive(Debug, thiserror::Error)]
enum Obstacle {
    #[error(
        "pins by {theirs}, and this one by {ours}: races in progress would change their rulebook. Keep `pin`, or give the \
         records another race type"
    )]
    Pin { theirs: String, ours: String },
    #[error(
        "has other groups: races that are in progress would have items that only one of the two writes. Activate it for new \
         races only, or keep the keys"
    )]
    OtherGroups,
    #[error(
        "has another dedup for the groups {0}: records that are folded already would not be recognized. Give the groups \
         another key"
    )]
    Dedup(String),
    #[error(
        "has another `where` for the groups {0}: their dedup would not show which records they hold. Give the groups another \
         key"
    )]
    Only(String),
    #[error(
        "has another `pack.into` for the groups {0}: they would be looked for in other items. Give the groups another key"
    )]
    Packing(String),
    #[error(
        "does not take the states of the format `{writes}` that this one would write for the groups {groups}, which races of \
         both share: give the groups another key"
    )]
    SharedStates { writes: String, groups: String },
    #[error(
        "writes states of the format `{writes}` for the groups {groups}, and the aggregator `{plugin}` takes only `{takes}`: \
         export a migration from `{writes}`, or give the groups another key"
    )]
    States { writes: String, groups: String, plugin: String, takes: String },
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
    let replaced = |why: Obstacle| incompatible(before.document, "which it would replace", &why);
    one_way(before, after).map_err(replaced)?;
    if succession == Succession::BothWays {
        let keys = |rulebook: &Rulebook| {
            let mut keys: Vec<String> = rulebook.aggregate.iter().map(key_text).collect();
            keys.sort();
            keys
        };
        if keys(before.document) != keys(after.document) {
            return Err(replaced(Obstacle::OtherGroups));
        }
        let Rulebook { name, version, .. } = before.document;
        let back = format!("whose races may have to go back to {name}@{version}");
        one_way(after, before).map_err(|why| incompatible(after.document, &back, &why))?;
    }
    Ok(())
}

/// Which groups of a rulebook another one can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// Those that outlive a race: their key does not contain it.
    Lasting,
    /// Those of its races, too.
    All,
}

/// Whether a rulebook may fold the groups of an earlier one that it does not replace: what that one wrote is still there.
pub(super) fn check_earlier(earlier: Candidate<'_>, after: Candidate<'_>, met: Met) -> Result<(), RulebookError> {
    pins(earlier, after)
        .and_then(|()| groups(earlier, after, met))
        .map_err(|why| incompatible(earlier.document, "whose groups are in the store", &why))
}

/// Whether others have every group of a rulebook, in the same way: what may follow them may follow it.
pub(super) fn is_covered(earlier: Candidate<'_>, by: &[Candidate<'_>]) -> bool {
    earlier.aggregates().all(|(rule, formats)| {
        by.iter().flat_map(|candidate| candidate.aggregates()).any(|(other, theirs)| {
            let is_found = (&other.key, &other.dedup, &other.only) == (&rule.key, &rule.dedup, &rule.only);
            is_found && packs(other) == packs(rule) && theirs == formats
        })
    })
}

fn one_way(before: Candidate<'_>, after: Candidate<'_>) -> Result<(), Obstacle> {
    pins(before, after)?;
    groups(before, after, Met::All)
}

fn pins(before: Candidate<'_>, after: Candidate<'_>) -> Result<(), Obstacle> {
    if before.document.pin == after.document.pin {
        return Ok(());
    }
    let text = |pin: &Option<Pointer>| pin.as_ref().map_or("nothing".to_owned(), |pin| format!("`{pin}`"));
    Err(Obstacle::Pin { theirs: text(&before.document.pin), ours: text(&after.document.pin) })
}

/// Whether the groups of a rulebook may be folded by another one that has groups of the same keys.
fn groups(before: Candidate<'_>, after: Candidate<'_>, met: Met) -> Result<(), Obstacle> {
    for (rule, formats) in before.aggregates() {
        let Some((next, takes)) = after.aggregates().find(|(other, _)| other.key == rule.key) else { continue };
        let mut fields = rule.key.partition.fields().chain(rule.key.sort.fields());
        let is_of_race = before.document.pin.as_ref().is_some_and(|pin| fields.any(|field| field == pin));
        if is_of_race && met == Met::Lasting {
            continue;
        }
        let groups = key_text(rule);
        if next.dedup != rule.dedup {
            return Err(Obstacle::Dedup(groups));
        }
        if next.only != rule.only {
            return Err(Obstacle::Only(groups));
        }
        if packs(next) != packs(rule) {
            return Err(Obstacle::Packing(groups));
        }
        // Both rulebooks fold into such groups for as long as races of both are in progress.
        let is_shared = before.document.pin.is_some() && !is_of_race;
        if is_shared && !formats.takes(&takes.writes) {
            return Err(Obstacle::SharedStates { writes: takes.writes.clone(), groups });
        }
        if !takes.takes(&formats.writes) {
            let (writes, plugin, takes) = (formats.writes.clone(), next.plugin.to_string(), takes.writes.clone());
            return Err(Obstacle::States { writes, groups, plugin, takes });
        }
    }
    Ok(())
}

/// The items that share the groups of a partition.
fn packs(rule: &AggregateUse) -> Option<u16> {
    rule.pack.as_ref().map(|packing| packing.into)
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
                "the groups {} of race type {race_type} are also those of race type {other_type} under {}@{}: two races \
                 with the same number would share items. Add the race type, {{{route}}}, to the key",
                key_text(rule),
                other.name,
                other.version
            )));
        }
    }
    Ok(())
}

fn incompatible(before: &Rulebook, relation: &str, why: &Obstacle) -> RulebookError {
    RulebookError::Incompatible(format!("{}@{}, {relation}, {why}", before.name, before.version))
}

fn key_text(rule: &AggregateUse) -> String {
    format!("PK = {:?}, SK = {:?}", rule.key.partition, rule.key.sort)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rulebook with a group of a race and one of a class, with this dedup.
    fn document(dedup: &str) -> Rulebook {
        let group = |key: &str| {
            format!("[[aggregate]]\nplugin = \"p\"\nkey = {{ PK = \"{key}\", SK = \"r\" }}\ndedup = {dedup}\n")
        };
        let groups = group("race-{/raceId}") + &group("class-{/classId}");
        Rulebook::parse(&format!("name = \"flat\"\nversion = 1\npin = \"/raceId\"\n{groups}")).unwrap()
    }

    /// The formats of the group of a race and of the group of a class: what each aggregator writes, and what it takes.
    fn formats(race: (&str, &[&str]), class: (&str, &[&str])) -> Vec<StateFormats> {
        let formats = |(writes, takes): (&str, &[&str])| StateFormats {
            writes: writes.to_owned(),
            takes: takes.iter().map(|format| (*format).to_owned()).collect(),
        };
        vec![formats(race), formats(class)]
    }

    #[test]
    fn races_that_were_moved_bring_the_states_of_every_rulebook_that_they_had() {
        let document = document("\"sequence\"");
        let earlier = formats(("a", &["b"]), ("c", &[]));
        let after = formats(("b", &[]), ("c", &[]));
        let candidate = |formats| Candidate { document: &document, formats };
        let error = check_earlier(candidate(&earlier), candidate(&after), Met::All).unwrap_err().to_string();
        assert!(error.contains("writes states of the format `a` for the groups PK = race-{/raceId}"), "{error}");
        assert!(check_earlier(candidate(&earlier), candidate(&after), Met::Lasting).is_ok());
    }

    #[test]
    fn a_rulebook_is_covered_by_others_that_together_have_its_groups_in_the_same_way() {
        let (document, other) = (document("\"sequence\""), document("{ ordinal = \"/second\" }"));
        let (first, second) = (formats(("a", &[]), ("b", &[])), formats(("x", &[]), ("c", &[])));
        let both = formats(("a", &[]), ("c", &[]));
        let candidate = |formats| Candidate { document: &document, formats };
        let by = [candidate(&first), candidate(&second)];
        assert!(is_covered(candidate(&both), &by) && is_covered(candidate(&first), &by));
        assert!(!is_covered(candidate(&both), &by[..1]), "no other writes `c`");
        assert!(!is_covered(Candidate { document: &other, formats: &both }, &by), "it has another dedup");
        let taking = formats(("a", &["z"]), ("c", &[]));
        assert!(!is_covered(candidate(&taking), &by), "what it takes counts where races of both share groups");
    }
}
