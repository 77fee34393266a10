//! Route: which rulebook each record goes by.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::batch::Batch;
use crate::dead_letter::{Cause, Reason};
use crate::project::{Cell, Cells, mismatch};
use crate::registry::Catalog;
use crate::store::PinKey;
use crate::table::Dead;

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
pub(crate) fn route(catalog: &Catalog, batch: &Batch, cells: &Cells, dead: &mut Dead) -> Vec<(Route, Vec<u32>)> {
    let mut routes: Vec<(Route, Vec<u32>)> = Vec::new();
    let mut index: HashMap<Route, usize> = HashMap::new();
    let mut buried = dead.iter().map(|(record, _)| *record).collect::<Vec<_>>();
    buried.sort_unstable();
    let mut buried = buried.into_iter().peekable();

    // Neighbours mostly go the same way: what the last one's cells were, and where it went.
    let mut last: Option<(Cell, Cell, usize)> = None;
    let mut unroutable = Vec::new();
    for record in 0..batch.records.len() as u32 {
        if buried.next_if_eq(&record).is_some() {
            continue;
        }
        let race_type = cells.get(record, catalog.route);
        if let Some((last_type, last_pin, at)) = last
            && matches!(race_type, Cell::Integer(_))
            && race_type == last_type
        {
            // Only integers are compared as cells: equal texts stand in different places.
            let route = &routes[at].0;
            let same = match catalog.active(&route.race_type).and_then(|plan| plan.pin) {
                None => true,
                Some(slot) => matches!(last_pin, Cell::Integer(_)) && cells.get(record, slot) == last_pin,
            };
            if same {
                routes[at].1.push(record);
                continue;
            }
        }
        match find(catalog, batch, cells, record, race_type) {
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
    cells: &Cells,
    record: u32,
    race_type: Cell,
) -> Result<(Route, Cell), Reason> {
    let word = |cell: Cell, slot| {
        let mut text = String::new();
        match write_word(&mut text, batch, cells, cell) {
            true => Ok(text),
            false => {
                let pointer = catalog.projection.pointer(slot);
                Err(mismatch(batch, record, pointer, cell, "a text or an integer"))
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
    let Some(slot) = plan.pin else { return Ok((Route { race_type, pinned: None }, Cell::Missing)) };
    let cell = cells.get(record, slot);
    let pinned = word(cell, slot).map_err(|reason| reason.under(&race_type, plan.ruling.book.version))?;
    Ok((Route { race_type, pinned: Some(pinned) }, cell))
}

/// Writes a boolean, an integer or a text; whether the cell was one.
pub(crate) fn write_word(into: &mut String, batch: &Batch, cells: &Cells, cell: Cell) -> bool {
    match cell {
        Cell::Integer(value) => into.push_str(itoa::Buffer::new().format(value)),
        Cell::Boolean(value) => {
            let _ = write!(into, "{value}");
        }
        Cell::Text(_) | Cell::Unescaped(_) => {
            let text = cells.text(batch, cell).and_then(|text| std::str::from_utf8(text).ok());
            into.push_str(text.expect("a payload's texts are UTF-8"));
        }
        _ => return false,
    }
    true
}
