//! The groups of a window: their keys, their rows, and the aggregates that folded these.

use std::collections::HashMap;
use std::sync::Arc;

use super::merge::{Owner, Segment};
use super::state::{GroupDelta, Window};
use crate::model::{Item, Key, Provenance};
use crate::rules::Catalog;
use crate::stages::fold::Foreign;

/// The groups of a window, by a catalog that holds its rulebooks.
pub(super) struct WindowGroups<'a> {
    window: &'a Window,
    catalog: &'a Catalog,
    pub(super) keys: Vec<Key>,
    /// The segments of each, in their order. Those that several rulebooks folded are merged one after another, and written
    /// together: dedup by sequence could not express that the rows of one of them are missing.
    groups: Vec<Vec<&'a GroupDelta>>,
}

impl<'a> WindowGroups<'a> {
    pub(super) fn new(window: &'a Window, catalog: &'a Catalog) -> Self {
        let groups = group(window);
        let keys = groups.iter().map(|segments| key(window, catalog, segments[0])).collect();
        Self { window, catalog, keys, groups }
    }

    /// The aggregate that folded rows.
    pub(super) fn owner(&self, delta: &GroupDelta) -> Owner<'a> {
        let digest = self.window.rulebooks[delta.rulebook as usize];
        let bound = self.catalog.rulebook(digest).expect("the window's rulebooks are loaded");
        Owner { bound, aggregate: delta.aggregate as usize }
    }

    /// The rows of a group with what merges them into its item; or why they can't be merged with what is before them, and
    /// which.
    pub(super) fn segments(
        &self,
        group: u32,
        item: Option<&Item>,
    ) -> Result<Vec<Segment<'a>>, (Foreign, &'a GroupDelta)> {
        let mut before = item.map(|item| Arc::clone(&item.provenance));
        let mut segments = Vec::new();
        for &delta in &self.groups[group as usize] {
            let mut owner = self.owner(delta);
            let format = owner.loaded().aggregator.state_format();
            let foreign = before.as_ref().and_then(|before| Foreign::of(before, owner.loaded(), owner.rule()));
            if let (Some(foreign), Some(before)) = (foreign, &before) {
                // The item went over to a later format while the window held these rows.
                owner = self.successor(before, owner).ok_or((foreign, delta))?;
            }
            before = Some(Arc::clone(&owner.rule().provenance));
            segments.push(Segment::new(delta, owner, format));
        }
        Ok(segments)
    }

    /// The aggregate that wrote a state, if it takes those of an aggregate with the same groups as well.
    fn successor(&self, wrote: &Provenance, folded: Owner<'_>) -> Option<Owner<'a>> {
        let bound = self.catalog.rulebook(wrote.rulebook.digest)?;
        let key = &folded.loaded().rule.key;
        let aggregate = bound.rulebook.aggregates.iter().position(|other| other.rule.key == *key)?;
        let owner = Owner { bound, aggregate };
        Foreign::of(&folded.rule().provenance, owner.loaded(), owner.rule()).is_none().then_some(owner)
    }

    /// Whether rows of one race were folded by other rulebooks than the one that owns the group in the end.
    pub(super) fn is_reruled(&self, group: u32, last: Owner<'_>) -> bool {
        let (digest, _) = last.id();
        let mut segments = self.groups[group as usize].iter();
        last.rule().is_of_one_race && segments.any(|delta| delta.reruled || self.owner(delta).id().0 != digest)
    }

    /// The rows of a group, with the aggregates that folded them.
    pub(super) fn rows(&self, group: u32) -> Vec<(&'a GroupDelta, Owner<'a>)> {
        self.groups[group as usize].iter().map(|&delta| (delta, self.owner(delta))).collect()
    }
}

/// The groups of a window, each with its rows in their order.
fn group(window: &Window) -> Vec<Vec<&GroupDelta>> {
    let mut groups: Vec<Vec<&GroupDelta>> = Vec::new();
    let mut seen: HashMap<&Key, usize> = HashMap::new();
    for delta in &window.groups {
        let at = *seen.entry(&delta.key).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[at].push(delta);
    }
    groups
}

/// The key of a group, as the rulebook that folded it places it: the window's state has only its texts.
fn key(window: &Window, catalog: &Catalog, delta: &GroupDelta) -> Key {
    let bound = window.rulebooks.get(delta.rulebook as usize).and_then(|digest| catalog.rulebook(*digest));
    let aggregate = bound.and_then(|bound| bound.rulebook.aggregates.get(delta.aggregate as usize));
    match aggregate {
        Some(aggregate) => aggregate.rule.group_key(delta.key.partition.clone(), delta.key.sort.clone()),
        None => delta.key.clone(),
    }
}
