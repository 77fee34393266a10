//! A law of cases, and how a case violates it.

use paceline_engine::EngineError;

use super::calls::{Tried, Trouble};
use super::rows::Row;

/// How rows of a case are dealt out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deal {
    pub(crate) groups: u32,
    pub(crate) parts: u32,
}

/// How a case violates a law.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Breach {
    pub(crate) results: Vec<(String, String)>,
    /// The group that they are of.
    pub(crate) group: Option<usize>,
    /// Whether the results differ by no more than rounding does.
    pub(crate) is_rounding: bool,
}

/// A law of cases.
pub(crate) struct Rule<'r> {
    /// Its name, for the draw.
    pub(crate) name: &'static str,
    pub(crate) deal: Deal,
    pub(crate) holds: &'r dyn Fn(&[Row]) -> Tried<Option<Breach>>,
}

/// The smallest case that violates a law.
pub(crate) struct Counterexample {
    pub(crate) rows: Vec<Row>,
    pub(crate) breach: Breach,
}

/// A case in which a call fails says nothing about a law of results: `any-value` finds it.
pub(crate) fn settled(tried: Tried<Option<Breach>>) -> Result<Option<Breach>, EngineError> {
    match tried {
        Ok(breach) => Ok(breach),
        Err(Trouble::Failed(_)) => Ok(None),
        Err(Trouble::Engine(error)) => Err(error),
    }
}
