//! Plugins that give each record a number.

use crate::bisect::{Bisected, whole};
use crate::columns::{Batch, Column};
use crate::contract::{Function, Role};
use crate::fault::Fault;
use crate::limits::Work;
use crate::load::Component;
use crate::load_error::LoadError;
use crate::plugin::{Candidate, Plugin, Settings};
use crate::session::{Called, Session};

/// A plugin that gives each record a number.
#[derive(Clone, Debug)]
pub struct Scorer(Plugin);

/// The calls of one batch to a scorer.
pub type ScorerSession<'p> = Session<'p, Scorer>;

/// What a scorer made of a batch.
#[derive(Debug, Default, PartialEq)]
pub struct Scored {
    /// A finite score for each row; 0 for a row that failed.
    pub scores: Vec<f64>,
    /// The rows that it failed on or gave a score that is not finite, in ascending order.
    pub failed: Vec<(u32, Fault)>,
}

impl Component {
    /// The component as a scorer with these settings.
    pub fn scorer(&self, settings: &Settings) -> Result<Scorer, LoadError> {
        let mut candidate = Candidate::new(self, settings, Role::Scorer)?;
        candidate.check::<(Batch<'_>,), Vec<f64>>(Function::Score)?;
        let fields = candidate.describe(Function::Describe)?;
        candidate.into_plugin(fields).map(Scorer)
    }
}

impl Scorer {
    /// The scorer as a plugin.
    pub fn plugin(&self) -> &Plugin {
        &self.0
    }

    /// Starts the calls of a batch.
    pub fn session(&self) -> ScorerSession<'_> {
        Session::new(&self.0, self)
    }
}

impl ScorerSession<'_> {
    /// Scores each row. `columns` are those of the plugin's fields, each with `rows` values.
    pub fn score(&mut self, rows: usize, columns: &[Column<'_>]) -> Called<Scored> {
        let Bisected { results, mut failed, .. } =
            self.bisect(Work::of_rows(&(0..rows), columns), whole(rows), |session, range| {
                let check = |scores: &Vec<f64>| check_scores(scores, range.len());
                let work = Work::of_rows(&range, columns);
                Batch::with_rows(columns, rows, &range, |batch| session.call(Function::Score, work, (batch,), check))
            })?;
        self.plugin().report_trap(&failed, columns);
        let mut scores = Vec::new();
        for (range, some) in results {
            if some.len() == rows {
                scores = some;
            } else {
                // The gap to the range before are rows that failed.
                scores.resize(range.start, 0.0);
                scores.extend(some);
            }
        }
        scores.resize(rows, 0.0);
        if !all_finite(&scores) {
            for (row, score) in scores.iter_mut().enumerate().filter(|(_, score)| !score.is_finite()) {
                failed.push((row as u32, Fault::Score(std::mem::take(score).to_string())));
            }
        }
        failed.sort_unstable_by_key(|&(row, _)| row);
        Ok(Scored { scores, failed })
    }
}

/// No branch depends on a single score, so the processor looks at several of them at once.
fn all_finite(scores: &[f64]) -> bool {
    scores.iter().fold(true, |all, score| all & score.is_finite())
}

fn check_scores(scores: &[f64], rows: usize) -> Result<(), Fault> {
    match scores.len() {
        found if found == rows => Ok(()),
        found => Err(Fault::InvalidResult(format!("{found} scores for {rows} rows"))),
    }
}
