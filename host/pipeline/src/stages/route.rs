//! Route: the rulebook of each record, by race type and, where a rulebook pins races, by race.

use std::collections::HashMap;

use super::context::Context;
use super::project::{ProjectedBatch, mismatch};
use crate::error::PipelineError;
use crate::model::{Cause, FieldIndex, FieldValue, Reason};
use crate::rules::{PinCache, Rulebooks};
use crate::store::{Pin, PinKey, PinStore};

/// The records of a batch that are evaluated by one rulebook.
#[derive(Debug)]
pub(crate) struct RoutedRecords {
    pub(crate) race_type: String,
    pub(crate) version: u64,
    /// The indexes of the records, ascending.
    pub(crate) records: Vec<u32>,
}

/// A race type, or a race of it if its rulebook pins races.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Route {
    race_type: String,
    pinned: Option<String>,
}

impl Route {
    fn pin_key(&self) -> Option<PinKey> {
        let value = self.pinned.clone()?;
        Some(PinKey { race_type: self.race_type.clone(), value })
    }
}

/// The records of each rulebook. Records without one are rejected.
///
/// Returns `None` if a pinned rulebook had to be loaded first: it may read other fields, so that the batch has to be
/// projected again.
pub(crate) async fn route<S: PinStore>(
    context: &mut Context<'_, S>,
    projected: &ProjectedBatch<'_>,
    rulebooks: &Rulebooks,
    pins: &PinCache,
) -> Result<Option<Vec<RoutedRecords>>, PipelineError> {
    let routes = by_route(context, projected);
    let catalog = &projected.catalog;
    let keys: Vec<PinKey> = routes.iter().filter_map(|(route, _)| route.pin_key()).collect();
    let mut pins = pins.resolve(context.store, catalog, context.budget, &keys).await?.into_iter();
    let mut complete = true;
    let mut routed: Vec<RoutedRecords> = Vec::new();
    for (Route { race_type, pinned }, records) in routes {
        let version = match pinned {
            None => catalog.active(&race_type).expect("records were routed by it").rulebook.document.version,
            Some(value) => {
                let pin = pins.next().expect("each key has a pin");
                if !is_loaded(projected, &race_type, pin) {
                    rulebooks.load_pinned(&race_type, pin).map_err(|source| PipelineError::Pin {
                        race_type: race_type.clone(),
                        value,
                        version: pin.version,
                        source: Box::new(source),
                    })?;
                    complete = false;
                }
                pin.version
            }
        };
        match routed.iter_mut().find(|other| other.race_type == race_type && other.version == version) {
            Some(other) => other.records.extend(records),
            None => routed.push(RoutedRecords { race_type, version, records }),
        }
    }
    routed.iter_mut().filter(|routed| !routed.records.is_sorted()).for_each(|routed| routed.records.sort_unstable());
    Ok(complete.then_some(routed))
}

fn is_loaded(projected: &ProjectedBatch<'_>, race_type: &str, pin: Pin) -> bool {
    let known = projected.catalog.rulebook(race_type, pin.version);
    known.is_some_and(|known| *known.rulebook.digest.as_bytes() == pin.rulebook)
}

/// The records of each route, ascending.
fn by_route<S>(context: &mut Context<'_, S>, projected: &ProjectedBatch<'_>) -> Vec<(Route, Vec<u32>)> {
    let ProjectedBatch { batch, catalog, rows } = projected;
    let mut routes: Vec<(Route, Vec<u32>)> = Vec::new();
    let mut index: HashMap<Route, usize> = HashMap::new();
    let mut rejected = context.rejected.sorted().into_iter().peekable();

    // Neighbours mostly have the same route: the fields of the last record, and its route.
    let mut last: Option<(FieldValue, FieldValue, usize)> = None;
    for record in 0..batch.records.len() as u32 {
        if rejected.next_if_eq(&record).is_some() {
            continue;
        }
        let race_type = rows.get(record, catalog.route);
        if let Some((last_type, last_pin, at)) = last
            && matches!(race_type, FieldValue::Integer(_))
            && race_type == last_type
        {
            // Only integers are compared as values: equal texts have different spans.
            let route = &routes[at].0;
            let same = match catalog.active(&route.race_type).and_then(|rulebook| rulebook.pin) {
                None => true,
                Some(field) => matches!(last_pin, FieldValue::Integer(_)) && rows.get(record, field) == last_pin,
            };
            if same {
                routes[at].1.push(record);
                continue;
            }
        }
        match route_of(projected, record, race_type) {
            Ok((route, pin)) => {
                let at = *index.entry(route.clone()).or_insert_with(|| {
                    routes.push((route, Vec::new()));
                    routes.len() - 1
                });
                routes[at].1.push(record);
                last = Some((race_type, pin, at));
            }
            Err(reason) => context.rejected.push(record, reason),
        }
    }
    routes
}

/// A record's route, and its pinned field.
fn route_of(projected: &ProjectedBatch<'_>, record: u32, race_type: FieldValue) -> Result<(Route, FieldValue), Reason> {
    let ProjectedBatch { batch, catalog, rows } = projected;
    let word = |value: FieldValue, field: FieldIndex| {
        let mut text = String::new();
        match rows.write_word(&mut text, batch, value) {
            true => Ok(text),
            false => {
                let pointer = catalog.projection.pointer(field);
                Err(mismatch(batch, record, pointer, value, "a text or an integer"))
            }
        }
    };
    let race_type = word(race_type, catalog.route)?;
    let Some(rulebook) = catalog.active(&race_type) else {
        let shown: String = race_type.chars().take(100).collect();
        let pointer = catalog.projection.pointer(catalog.route);
        let text = format!("there is no rulebook for race type `{shown}` (field `{pointer}`)");
        return Err(Reason::new(Cause::NoRulebook, text).at(pointer));
    };
    let Some(field) = rulebook.pin else { return Ok((Route { race_type, pinned: None }, FieldValue::Missing)) };
    let value = rows.get(record, field);
    let pinned = word(value, field);
    let pinned = pinned.map_err(|reason| reason.under(&race_type, rulebook.rulebook.document.version))?;
    Ok((Route { race_type, pinned: Some(pinned) }, value))
}
