//! The records of each race: by race type and, where a rulebook pins races, by race.

use std::collections::HashMap;

use crate::model::{Cause, FieldIndex, FieldValue, Reason};
use crate::rules::{Catalog, MAX_PIN_BYTES, Route};
use crate::stages::context::Context;
use crate::stages::project::{ProjectedBatch, mismatch};
use crate::store::PinKey;

/// The records of a race type, or of one race of it if its rulebook pins races.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: RaceName,
    pub(super) route: Route,
    pub(super) records: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RaceName {
    pub(super) race_type: String,
    pub(super) race: Option<String>,
}

impl RaceName {
    pub(super) fn pin_key(&self) -> Option<PinKey> {
        Some(PinKey { race_type: self.race_type.clone(), value: self.race.clone()? })
    }
}

/// The beginning of a text that a record chose.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

/// The fields of the last record, and its group.
#[derive(Clone, Copy)]
struct LastRecord {
    race_type: FieldValue,
    race: Option<PinnedField>,
    group: usize,
}

/// The field that identifies a race, where its rulebook pins races, and a record's value of it.
pub(crate) type PinnedField = (FieldIndex, FieldValue);

/// The records of each race, ascending.
pub(super) fn by_race<S>(context: &mut Context<'_, S>, projected: &ProjectedBatch<'_>) -> Vec<Group> {
    let ProjectedBatch { batch, catalog, rows } = projected;
    let mut groups: Vec<Group> = Vec::new();
    let mut index: HashMap<RaceName, usize> = HashMap::new();
    let mut rejected = context.rejected.sorted().into_iter().peekable();

    // Neighbours mostly are of the same race.
    let mut last: Option<LastRecord> = None;
    for record in 0..batch.records.len() as u32 {
        if rejected.next_if_eq(&record).is_some() {
            continue;
        }
        let race_type = rows.get(record, catalog.route);
        if let Some(last) = last
            && matches!(race_type, FieldValue::Integer(_))
            && race_type == last.race_type
        {
            // Only integers are compared as values: equal texts have different spans.
            let same = match last.race {
                None => true,
                Some((field, race)) => matches!(race, FieldValue::Integer(_)) && rows.get(record, field) == race,
            };
            if same {
                groups[last.group].records.push(record);
                continue;
            }
        }
        match race_of(projected, record, race_type) {
            Ok((name, route, race)) => {
                let at = *index.entry(name.clone()).or_insert_with(|| {
                    groups.push(Group { name, route, records: Vec::new() });
                    groups.len() - 1
                });
                groups[at].records.push(record);
                last = Some(LastRecord { race_type, race, group: at });
            }
            Err(reason) => context.rejected.push(record, reason),
        }
    }
    groups
}

/// The field that identifies a race. `None` if the rulebook pins nothing, or is not loaded: then all records wait.
fn pin_field(catalog: &Catalog, route: Route) -> Option<FieldIndex> {
    catalog.rulebook(route.reference)?.pin
}

/// A record's race, its route, and its pinned field with its value.
fn race_of(
    projected: &ProjectedBatch<'_>,
    record: u32,
    race_type: FieldValue,
) -> Result<(RaceName, Route, Option<PinnedField>), Reason> {
    let ProjectedBatch { catalog, rows, .. } = projected;
    let race_type = word_of(projected, record, (catalog.route, race_type))?;
    let Some(route) = catalog.route_of(&race_type) else {
        let pointer = catalog.projection.pointer(catalog.route);
        let text = format!("there is no rulebook for race type `{}` (field `{pointer}`)", shown(&race_type));
        return Err(Reason::new(Cause::NoRulebook, text).at(pointer));
    };
    let Some(field) = pin_field(catalog, route) else {
        return Ok((RaceName { race_type, race: None }, route, None));
    };
    let under = |reason: Reason| match catalog.rulebook(route.reference) {
        Some(bound) => reason.under(&bound.rulebook.id),
        None => reason,
    };
    let pinned = (field, rows.get(record, field));
    let race = pinned_race(projected, record, pinned).map_err(under)?;
    Ok((RaceName { race_type, race: Some(race) }, route, Some(pinned)))
}

/// The race of a record, by the field that identifies it.
pub(crate) fn pinned_race(
    projected: &ProjectedBatch<'_>,
    record: u32,
    (field, value): PinnedField,
) -> Result<String, Reason> {
    let race = word_of(projected, record, (field, value))?;
    if race.len() > MAX_PIN_BYTES {
        let pointer = projected.catalog.projection.pointer(field);
        let text = format!(
            "field `{pointer}`, which identifies the race, has {} bytes: at most {MAX_PIN_BYTES} are allowed",
            race.len()
        );
        return Err(Reason::new(Cause::BadPin, text).at(pointer));
    }
    Ok(race)
}

/// A field of a record as a text.
fn word_of(
    projected: &ProjectedBatch<'_>,
    record: u32,
    (field, value): (FieldIndex, FieldValue),
) -> Result<String, Reason> {
    let ProjectedBatch { batch, catalog, rows } = projected;
    let mut text = String::new();
    match rows.write_word(&mut text, batch, value) {
        true => Ok(text),
        false => {
            let pointer = catalog.projection.pointer(field);
            Err(mismatch(batch, record, pointer, value, "a text or an integer"))
        }
    }
}
