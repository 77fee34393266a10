//! Route: which rulebook each record goes by.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::batch::Batch;
use crate::dead_letter::{Cause, Reason};
use crate::project::{FieldValue, ProjectedRows, mismatch};
use crate::registry::Catalog;
use crate::store::PinKey;
use crate::table::Rejected;

/// A race type, or a race of it where its rulebooks pin races.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Route {
    pub(crate) race_type: String,
    pub(crate) pinned: Option<String>,
}

impl Route {
    pub(crate) fn pin_key(&self) -> Option<PinKey> {
        let value = self.pinned.clone()?;
        Some(PinKey { race_type: self.race_type.clone(), value })
    }
}

/// The records of a batch by their routes. Each list of records is ascending.
pub(crate) fn route(catalog: &Catalog, batch: &Batch, rows_of_fields: &ProjectedRows, dead: &mut Rejected) -> Vec<(Route, Vec<u32>)> {
    let mut routes: Vec<(Route, Vec<u32>)> = Vec::new();
    let mut index: HashMap<Route, usize> = HashMap::new();
    let mut rejected = dead.iter().map(|(record, _)| *record).collect::<Vec<_>>();
    rejected.sort_unstable();
    let mut rejected = rejected.into_iter().peekable();

    // Neighbours mostly go the same way: what the last one's cells were, and where it went.
    let mut last: Option<(FieldValue, FieldValue, usize)> = None;
    let mut unroutable = Vec::new();
    for record in 0..batch.records.len() as u32 {
        if rejected.next_if_eq(&record).is_some() {
            continue;
        }
        let race_type = rows_of_fields.get(record, catalog.route);
        if let Some((last_type, last_pin, at)) = last
            && matches!(race_type, FieldValue::Integer(_))
            && race_type == last_type
        {
            // Only integers are compared as cells: equal texts stand in different places.
            let route = &routes[at].0;
            let same = match catalog.active(&route.race_type).and_then(|plan| plan.pin) {
                None => true,
                Some(index) => matches!(last_pin, FieldValue::Integer(_)) && rows_of_fields.get(record, index) == last_pin,
            };
            if same {
                routes[at].1.push(record);
                continue;
            }
        }
        match find(catalog, batch, rows_of_fields, record, race_type) {
            Ok((route, pin)) => {
                let at = *index.entry(route.clone()).or_insert_with(|| {
                    routes.push((route, Vec::new()));
                    routes.len() - 1
                });
                routes[at].1.push(record);
                last = Some((race_type, pin, at));
            }
            Err(reason) => unroutable.push((record, reason)),
        }
    }
    dead.extend(unroutable);
    routes
}

fn find(
    catalog: &Catalog,
    batch: &Batch,
    rows_of_fields: &ProjectedRows,
    record: u32,
    race_type: FieldValue,
) -> Result<(Route, FieldValue), Reason> {
    let word = |value: FieldValue, index| {
        let mut text = String::new();
        match write_word(&mut text, batch, rows_of_fields, value) {
            true => Ok(text),
            false => {
                let pointer = catalog.projection.pointer(index);
                Err(mismatch(batch, record, pointer, value, "a text or an integer"))
            }
        }
    };
    let race_type = word(race_type, catalog.route)?;
    let Some(plan) = catalog.active(&race_type) else {
        let shown: String = race_type.chars().take(100).collect();
        let pointer = catalog.projection.pointer(catalog.route);
        let text = format!("there is no rulebook for race type `{shown}` (field `{pointer}`)");
        return Err(Reason::new(Cause::NoRulebook, text).at(pointer));
    };
    let Some(index) = plan.pin else { return Ok((Route { race_type, pinned: None }, FieldValue::Missing)) };
    let value = rows_of_fields.get(record, index);
    let pinned = word(value, index).map_err(|reason| reason.under(&race_type, plan.rulebook.book.version))?;
    Ok((Route { race_type, pinned: Some(pinned) }, value))
}

/// Writes a boolean, an integer or a text; whether the cell was one.
pub(crate) fn write_word(into: &mut String, batch: &Batch, rows_of_fields: &ProjectedRows, value: FieldValue) -> bool {
    match value {
        FieldValue::Integer(value) => into.push_str(itoa::Buffer::new().format(value)),
        FieldValue::Boolean(value) => {
            let _ = write!(into, "{value}");
        }
        FieldValue::Text(_) | FieldValue::Unescaped(_) => {
            let text = rows_of_fields.text(batch, value).and_then(|text| std::str::from_utf8(text).ok());
            into.push_str(text.expect("a payload's texts are UTF-8"));
        }
        _ => return false,
    }
    true
}
