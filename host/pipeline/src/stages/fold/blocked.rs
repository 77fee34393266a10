//! Groups whose states an aggregator does not take. Nothing is decoded on trust: their rows wait.

use std::collections::{BTreeMap, HashSet};

use paceline_engine::Aggregator;

use super::rows::Rows;
use crate::error::{ErrorChain, ForeignState, PipelineError};
use crate::model::{Cause, Item, Reason};
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
    /// The format of its state.
    format: String,
    why: String,
}

impl Blocked {
    /// The groups whose items have states that a call does not take.
    pub(super) fn of(fold: Rows<'_, '_>, loaded: &[Option<Item>]) -> Self {
        let mut blocked = Self::default();
        for (at, call) in fold.groups.calls.iter().enumerate() {
            let aggregator = &fold.aggregate(at).0.aggregator;
            for row in &call.rows {
                if let Some(item) = &loaded[row.group as usize]
                    && !aggregator.takes(&item.provenance.state_format)
                {
                    blocked.add(row.group, at, &item.provenance.state_format, takes(aggregator));
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

    pub(super) fn add_all(&mut self, more: Self) {
        self.groups.extend(more.groups);
    }

    pub(super) fn add(&mut self, group: u32, call: usize, format: &str, why: String) {
        self.groups.entry(group).or_insert_with(|| Obstacle { call, format: format.to_owned(), why });
    }

    /// Lets the rows of blocked groups wait, or rejects those that have waited long enough. `gone` are the rejected
    /// records.
    pub(super) fn settle<S>(&mut self, fold: Rows<'_, '_>, context: &mut Context<'_, S>, gone: &mut HashSet<u32>) {
        for (&group, obstacle) in self.groups.iter().filter(|(group, _)| !self.settled.contains(group)) {
            let id = &fold.bound(obstacle.call).rulebook.id;
            let error = || {
                PipelineError::StateFormat(Box::new(ForeignState {
                    key: fold.groups.keys[group as usize].to_string(),
                    format: obstacle.format.clone(),
                    rulebook: id.to_string(),
                    why: obstacle.why.clone(),
                }))
            };
            let rows = fold.groups.calls.iter().flat_map(|call| &call.rows).filter(|row| row.group == group);
            for record in rows.map(|row| row.record) {
                let arrival_ms = fold.projected.batch.records[record as usize].arrival_ms;
                if !context.holds.is_over(id.digest, arrival_ms) {
                    record_first_failure(&mut context.held, record, error());
                } else if gone.insert(record) {
                    let reason = Reason::new(Cause::StateFormat, ErrorChain(&error()).to_string());
                    context.rejected.push(record, reason.under(id));
                }
            }
        }
        self.settled.extend(self.groups.keys().copied());
    }
}

/// What an aggregator takes, in words.
pub(crate) fn takes(aggregator: &Aggregator) -> String {
    let formats = [aggregator.state_format()].into_iter().chain(aggregator.migrates_from().iter().map(String::as_str));
    format!("takes {}", formats.map(|format| format!("`{format}`")).collect::<Vec<_>>().join(", "))
}
