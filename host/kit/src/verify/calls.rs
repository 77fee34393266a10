//! Calls of the plugin. A law compares results, so a call that fails has none: bisection would hide what a law looks for.

use paceline_engine::{
    AggregatorSession, Column, ColumnBuf, EngineError, Fault, Field, PackedBuf, ScorerSession, Session, Usage,
    ValidatorSession,
};

use super::rows::{Cell, Row, columns};
use crate::subject::Subject;

/// Why there is no result.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// A call failed.
    Failed(Failure),
    /// The sandbox failed: the plugin is not to blame.
    Engine(EngineError),
}

/// How a call failed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    /// The rows that it fails on, alone, with the reason. None if calls for parts of the rows succeeded.
    pub(crate) rows: Vec<(u32, Fault)>,
    /// In a word each: what the calls for several rows failed of.
    pub(crate) kinds: Vec<&'static str>,
}

pub(crate) type Tried<T> = Result<T, Trouble>;

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl Failure {
    /// What happened, as a clause.
    pub(crate) fn shown(&self) -> String {
        match self.rows.first() {
            Some((_, fault)) => fault.to_string(),
            None => format!(
                "the call fails by its {}, and succeeds for parts of the rows, which costs a host much",
                self.kinds.join(" and its ")
            ),
        }
    }
}

/// What a scorer or a validator makes of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    Score(f64),
    NotFinite(String),
    Accepted,
    Rejected(String),
}

impl Verdict {
    /// Whether both are the same, bit by bit.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Score(one), Self::Score(two)) => one.to_bits() == two.to_bits(),
            (one, two) => one == two,
        }
    }

    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Score(score) => Cell::Number(*score).shown(),
            Self::NotFinite(score) => score.clone(),
            Self::Accepted => "accepted".to_owned(),
            Self::Rejected(reason) => format!("rejected: {}", reason.chars().take(60).collect::<String>()),
        }
    }
}

/// The calls of a batch to a scorer or a validator.
pub(crate) struct RowCalls<'s> {
    fields: &'s [Field],
    session: RowSession<'s>,
}

enum RowSession<'s> {
    Validator(ValidatorSession<'s>),
    Scorer(ScorerSession<'s>),
}

impl<'s> RowCalls<'s> {
    /// A fresh instance. `None` for an aggregator.
    pub(crate) fn new(subject: &'s Subject) -> Option<Self> {
        let session = match subject {
            Subject::Validator(validator) => RowSession::Validator(validator.session()),
            Subject::Scorer(scorer) => RowSession::Scorer(scorer.session()),
            Subject::Aggregator(_) => return None,
        };
        Some(Self { fields: subject.fields(), session })
    }

    /// What the plugin makes of each row. No rows are no call.
    pub(crate) fn call(&mut self, rows: &[Row]) -> Tried<Vec<Verdict>> {
        let columns = columns(self.fields, rows);
        let columns: Vec<Column<'_>> = columns.iter().map(ColumnBuf::as_column).collect();
        match &mut self.session {
            RowSession::Validator(session) => {
                let before = faults(session);
                let validated = session.validate(rows.len(), &columns)?;
                settle(session, before, validated.failed)?;
                let mut verdicts = vec![Verdict::Accepted; rows.len()];
                for (row, reason) in validated.rejected {
                    verdicts[row as usize] = Verdict::Rejected(reason);
                }
                Ok(verdicts)
            }
            RowSession::Scorer(session) => {
                let before = faults(session);
                let scored = session.score(rows.len(), &columns)?;
                let mut verdicts: Vec<Verdict> = scored.scores.into_iter().map(Verdict::Score).collect();
                let mut failed = scored.failed;
                failed.retain(|(row, fault)| match fault {
                    Fault::Score(score) => {
                        verdicts[*row as usize] = Verdict::NotFinite(score.clone());
                        false
                    }
                    _ => true,
                });
                settle(session, before, failed)?;
                Ok(verdicts)
            }
        }
    }

    pub(crate) fn usage(&self) -> &Usage {
        match &self.session {
            RowSession::Validator(session) => session.usage(),
            RowSession::Scorer(session) => session.usage(),
        }
    }
}

/// The calls of a batch to an aggregator.
pub(crate) struct GroupCalls<'s> {
    fields: &'s [Field],
    session: AggregatorSession<'s>,
}

impl<'s> GroupCalls<'s> {
    /// A fresh instance. `None` for another role.
    pub(crate) fn new(subject: &'s Subject) -> Option<Self> {
        match subject {
            Subject::Aggregator(aggregator) => Some(Self { fields: subject.fields(), session: aggregator.session() }),
            _ => None,
        }
    }

    /// Folds rows into the states of their groups.
    pub(crate) fn fold(&mut self, rows: &[Row], states: &PackedBuf) -> Tried<PackedBuf> {
        if rows.is_empty() {
            return Ok(states.clone());
        }
        let columns = columns(self.fields, rows);
        let columns: Vec<Column<'_>> = columns.iter().map(ColumnBuf::as_column).collect();
        let scores: Vec<f64> = rows.iter().map(|row| row.score).collect();
        let groups: Vec<u32> = rows.iter().map(|row| row.group).collect();
        let before = faults(&self.session);
        let folded = self.session.fold(&columns, &scores, &groups, states.as_packed())?;
        settle(&self.session, before, folded.failed)?;
        Ok(folded.states)
    }

    pub(crate) fn merge(&mut self, left: &PackedBuf, right: &PackedBuf) -> Tried<PackedBuf> {
        let before = faults(&self.session);
        let merged = self.session.merge(left.as_packed(), right.as_packed())?;
        settle(&self.session, before, merged.failed)?;
        Ok(merged.states)
    }

    pub(crate) fn migrate(&mut self, from: &str, states: &PackedBuf) -> Tried<PackedBuf> {
        let before = faults(&self.session);
        let migrated = self.session.migrate(from, states.as_packed())?;
        settle(&self.session, before, migrated.failed)?;
        Ok(migrated.states)
    }

    /// The outputs of each group.
    pub(crate) fn finish(&mut self, states: &PackedBuf) -> Tried<Vec<Vec<Cell>>> {
        let before = faults(&self.session);
        let finished = self.session.finish(states.as_packed())?;
        settle(&self.session, before, finished.failed)?;
        let columns: Vec<Column<'_>> = finished.columns.iter().map(ColumnBuf::as_column).collect();
        let group = |at: usize| columns.iter().map(|column| Cell::of(column, at)).collect();
        Ok((0..states.ends.len()).map(group).collect())
    }

    pub(crate) fn usage(&self) -> &Usage {
        self.session.usage()
    }
}

/// The states of so many groups without records.
pub(crate) fn empty(groups: usize) -> PackedBuf {
    (0..groups).map(|_| b"".as_slice()).collect()
}

fn faults<R>(session: &Session<'_, R>) -> Vec<(&'static str, u64)> {
    session.usage().faults.iter().map(|(kind, count)| (*kind, *count)).collect()
}

/// Fails if any call did since then, those that were bisected included.
fn settle<R>(session: &Session<'_, R>, before: Vec<(&'static str, u64)>, failed: Vec<(u32, Fault)>) -> Tried<()> {
    let after = faults(session);
    if after == before && failed.is_empty() {
        return Ok(());
    }
    let kinds = after.into_iter().filter(|kind| !before.contains(kind)).map(|(kind, _)| kind).collect();
    Err(Trouble::Failed(Failure { rows: failed, kinds }))
}
