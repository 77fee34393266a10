//! DynamoDB in memory: the operations, conditions and statements that the store uses, in the JSON of the service. All else
//! is refused, as the service refuses what is not valid.
//!
//! - `operations`: what is asked for, and what is answered. `failure`: answers that are errors.
//! - `statement`: PartiQL. `condition`: expressions.
//! - `table`: items, by the rules for keys and sizes.

mod answer;
mod condition;
mod failure;
mod operations;
mod statement;
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

pub(crate) use answer::Answer;
use table::Table;

use crate::request::Request;

/// The table of items, and the one of dead letters.
pub(crate) const ITEMS: &str = "races";
pub(crate) const LETTERS: &str = "races-dead-letters";

/// What an answer depends on beside request and tables.
pub(crate) trait Chance {
    /// Whether a key, a write or a statement of a batch is left undone.
    fn leaves_out(&self) -> bool;
    /// A number below this one.
    fn below(&self, end: u64) -> u64;
    /// The most items of a page.
    fn page(&self) -> usize;
}

/// No chance: every answer is whole.
#[derive(Debug)]
pub(crate) struct Certain;

impl Chance for Certain {
    fn leaves_out(&self) -> bool {
        false
    }

    fn below(&self, _end: u64) -> u64 {
        0
    }

    fn page(&self) -> usize {
        usize::MAX
    }
}

/// The tables.
pub(crate) struct Database(Mutex<BTreeMap<&'static str, Table>>);

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Database")
    }
}

impl Default for Database {
    fn default() -> Self {
        let (items, letters) = (Table::new("PK", Some("SK")), Table::new("id", None));
        Self(Mutex::new(BTreeMap::from([(ITEMS, items), (LETTERS, letters)])))
    }
}

impl Database {
    /// Whether the table of items has one with this key.
    pub(crate) fn has_item(&self, partition: &str, sort: &str) -> bool {
        let tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tables[ITEMS].items.contains_key(&(partition.to_owned(), sort.to_owned()))
    }

    /// Executes a request at once.
    pub(crate) fn execute(&self, request: &Request, chance: &dyn Chance) -> Answer {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match operations::execute(&mut tables, request, chance) {
            Ok(body) => Answer { status: 200, body },
            Err(failure) => failure.into_answer(),
        }
    }
}
