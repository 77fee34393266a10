//! Groups whose items do not fit the rulebook that would fold into them. Their rows wait.

use std::collections::{BTreeMap, HashSet};

use super::foreign::Foreign;
use super::rows::Rows;
use crate::error::ErrorChain;
use crate::model::{Item, Reason};
use crate::stages::context::Context;
use crate::stages::uncommitted::record_first_failure;

/// Groups that are left alone, by group.
#[derive(Debug, Default)]
pub(super) struct Blocked {
    groups: BTreeMap<u32, Obstacle>,
    /// The groups whose rows wait or are rejected already.
    settled: HashSet<u32>,
}

/// Why a group is left alone.
#[derive(Debug)]
struct Obstacle {
    /// The call that would fold into it.
    call: usize,
    why: Foreign,
}

impl Blocked {
    /// The groups whose items do not fit a call.
    pub(super) fn of(fold: Rows<'_, '_>, loaded: &[Option<Item>]) -> Self {
        let mut blocked = Self::default();
        for (at, call) in fold.groups.calls.iter().enumerate() {
            let (aggregate, bound) = fold.aggregate(at);
            for row in &call.rows {
                if let Some(item) = &loaded[row.group as usize]
                    && let Some(why) = Foreign::of(&item.provenance, aggregate, bound)
                {
                    blocked.add(row.group, at, why);
                }
            }
        }
        blocked
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The groups.
    pub(super) fn groups(&self) -> impl Iterator<Item = u32> {
        self.groups.keys().copied()
    }

    /// Whether it is unknown which records a group's item holds.
    pub(super) fn has_foreign_dedup(&self, group: u32) -> bool {
        self.groups.get(&group).is_some_and(|obstacle| matches!(obstacle.why, Foreign::Dedup { .. }))
    }

    pub(super) fn add_all(&mut self, more: Self) {
        self.groups.extend(more.groups);
    }

    pub(super) fn add(&mut self, group: u32, call: usize, why: Foreign) {
        self.groups.entry(group).or_insert(Obstacle { call, why });
    }

    /// Lets the rows of blocked groups wait, or rejects those that have waited long enough. `gone` are the rejected
    /// records.
    pub(super) fn settle<S>(&mut self, fold: Rows<'_, '_>, context: &mut Context<'_, S>, gone: &mut HashSet<u32>) {
        for (&group, obstacle) in self.groups.iter().filter(|(group, _)| !self.settled.contains(group)) {
            let id = &fold.bound(obstacle.call).rulebook.id;
            let error = || obstacle.why.error(&fold.groups.keys[group as usize], id);
            let rows = fold.groups.calls.iter().flat_map(|call| &call.rows).filter(|row| row.group == group);
            for record in rows.map(|row| row.record) {
                let arrival_ms = fold.projected.batch.records[record as usize].arrival_ms;
                if !context.holds.is_over(id.digest, arrival_ms) {
                    record_first_failure(&mut context.held, record, error());
                } else if gone.insert(record) {
                    let reason = Reason::new(obstacle.why.cause(), ErrorChain(&error()).to_string());
                    context.rejected.push(record, reason.under(id));
                }
            }
        }
        self.settled.extend(self.groups.keys().copied());
    }
}
