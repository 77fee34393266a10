//! Plugins that reject records.

use wasmtime::component::{ComponentType, Lift};

use crate::answer::Answer;
use crate::bisect::{Bisected, whole};
use crate::columns::{Batch, Column};
use crate::contract::{Function, Role};
use crate::fault::Fault;
use crate::limits::Work;
use crate::load::Component;
use crate::load_error::LoadError;
use crate::plugin::{Candidate, Plugin, Settings};
use crate::session::{Called, Session};

/// A plugin that rejects records.
#[derive(Clone, Debug)]
pub struct Validator(Plugin);

/// The calls of one batch to a validator.
pub type ValidatorSession<'p> = Session<'p, Validator>;

/// What a validator made of a batch. Both lists are in ascending order of their rows, and no row is in both.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Validated {
    /// The rows that it rejects, each with the reason.
    pub rejected: Vec<(u32, String)>,
    /// The rows that it failed on.
    pub failed: Vec<(u32, Fault)>,
}

impl Component {
    /// The component as a validator with these settings.
    pub fn validator(&self, settings: &Settings) -> Result<Validator, LoadError> {
        let mut candidate = Candidate::new(self, settings, Role::Validator)?;
        candidate.check::<(Batch<'_>,), Vec<Rejection>>(Function::Validate)?;
        let fields = candidate.describe(Function::Describe)?;
        candidate.into_plugin(fields).map(Validator)
    }
}

impl Validator {
    /// The validator as a plugin.
    pub fn plugin(&self) -> &Plugin {
        &self.0
    }

    /// Starts the calls of a batch.
    pub fn session(&self) -> ValidatorSession<'_> {
        Session::new(&self.0, self)
    }
}

impl ValidatorSession<'_> {
    /// Finds the rows to reject. `columns` are those of the plugin's fields, each with `rows` values.
    pub fn validate(&mut self, rows: usize, columns: &[Column<'_>]) -> Called<Validated> {
        let reason_bytes = self.plugin().limits().reason_bytes;
        let Bisected { results, failed, .. } =
            self.bisect(Work::of_rows(&(0..rows), columns), whole(rows), |session, range| {
                let check = |rejections: &Vec<_>| check_rejections(rejections, range.len(), reason_bytes);
                let work = Work::of_rows(&range, columns);
                Batch::with_rows(columns, rows, &range, |batch| session.call(Function::Validate, work, (batch,), check))
            })?;
        self.plugin().report_trap(&failed, columns);
        let mut rejected = Vec::new();
        for (range, rejections) in results {
            rejected.extend(rejections.into_iter().map(|Rejection { row, reason }| (range.start as u32 + row, reason)));
        }
        rejected.sort_unstable_by_key(|&(row, _)| row);
        Ok(Validated { rejected, failed })
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Rejection {
    row: u32,
    reason: String,
}

impl Answer for Vec<Rejection> {
    fn text_bytes(&self) -> usize {
        self.iter().map(|rejection| rejection.reason.len()).sum()
    }
}

fn check_rejections(rejections: &[Rejection], rows: usize, reason_bytes: usize) -> Result<(), Fault> {
    let invalid = |text: String| Err(Fault::InvalidResult(text));
    let mut seen = vec![false; rows];
    for Rejection { row, reason } in rejections {
        match seen.get_mut(*row as usize) {
            None => return invalid(format!("a rejection of row {row} in a batch of {rows} rows")),
            Some(true) => return invalid(format!("two rejections of row {row}")),
            Some(seen) => *seen = true,
        }
        if reason.len() > reason_bytes {
            return invalid(format!(
                "a reason of {} bytes; {reason_bytes} are allowed (limit `reason-bytes`)",
                reason.len()
            ));
        }
    }
    Ok(())
}
