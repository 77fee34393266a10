//! What the host does about plugins that misbehave: for every deed of `plugins/evil`, which rows fail and with which
//! fault, and that it harms neither the other rows nor the other plugins of the same engine.
//!
//! - [`scorer`], [`validator`], [`aggregator`]: calls that fail, and invalid results.
//! - [`migration`]: migrations of states.
//! - [`log`]: plugins that log too much.
//! - [`answers`]: answers that are too long together.
//! - [`load`]: components that are refused.

mod aggregator;
mod answers;
mod load;
mod log;
mod migration;
mod scorer;
mod validator;

use std::error::Error;
use std::fmt::Display;
use std::sync::LazyLock;

use paceline_engine::{Column, Component, Engine, Fault, Limits, Settings};

use crate::plugins::wasm;

/// The engine of tests that need no other limits than the default ones.
static ENGINE: LazyLock<Engine> = LazyLock::new(|| engine(Limits::default()));

/// The engine of tests that fuel would end before the limit in question.
static UNFUELLED: LazyLock<Engine> = LazyLock::new(|| engine(without_fuel_limit()));

fn engine(limits: Limits) -> Engine {
    Engine::new(limits).unwrap()
}

/// Limits under which no call runs out of fuel. Every byte that a plugin fills or copies costs fuel, so that by default
/// fuel often ends a plugin before the limit that a test is about.
fn without_fuel_limit() -> Limits {
    Limits { fuel_per_call: 1 << 50, ..Limits::default() }
}

fn plugin(engine: &Engine, name: &str) -> Component {
    engine.load(&wasm(name)).unwrap()
}

fn deed(deed: &str) -> Settings {
    [("deed".to_owned(), deed.to_owned())].into()
}

/// A batch for these plugins. No two rows are alike, and only a victim has a cadence of 66.
struct Efforts {
    cadence: Vec<f64>,
    resistance: Vec<f64>,
}

impl Efforts {
    fn new(rows: usize) -> Self {
        Self {
            cadence: (0..rows).map(|row| 100.0 + row as f64).collect(),
            resistance: (0..rows).map(|row| 30.0 + row as f64 / 4.0).collect(),
        }
    }

    fn with_victim(rows: usize, victim: usize) -> Self {
        let mut efforts = Self::new(rows);
        efforts.cadence[victim] = 66.0;
        efforts
    }

    fn rows(&self) -> usize {
        self.cadence.len()
    }

    /// The columns that the scorers read.
    fn columns(&self) -> [Column<'_>; 2] {
        [Column::Numbers(&self.cadence), Column::Numbers(&self.resistance)]
    }

    /// The columns that the validators and the aggregators read.
    fn cadence(&self) -> [Column<'_>; 1] {
        [Column::Numbers(&self.cadence)]
    }

    /// The scores that evil scorers give to the rows that they spare.
    fn scores(&self) -> Vec<f64> {
        self.cadence.iter().zip(&self.resistance).map(|(cadence, resistance)| cadence * resistance).collect()
    }
}

/// Asserts that a plugin that does nothing wrong works on this engine.
#[track_caller]
fn assert_unharmed(engine: &Engine) {
    let output = plugin(engine, "output").scorer(&Settings::new()).unwrap();
    let efforts = [Column::Numbers(&[81.0, 83.0, 62.0]), Column::Numbers(&[79.0, 78.0, 68.6])];
    let scored = output.session().score(3, &efforts).unwrap();
    assert_eq!((scored.scores, scored.failed), (vec![167.04, 168.74, 129.592], vec![]));
}

/// Asserts that the plugin panicked.
#[track_caller]
fn assert_panicked(fault: &Fault) {
    let Fault::Trap(cause) = fault else { panic!("{fault:?}") };
    assert_contains(cause, &["wasm `unreachable` instruction executed"]);
}

#[track_caller]
fn assert_contains(message: &impl Display, words: &[&str]) {
    let message = message.to_string();
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
}

/// The messages of an error and its sources.
fn chain(error: &dyn Error) -> String {
    let sources = std::iter::successors(error.source(), |&error| error.source());
    sources.fold(error.to_string(), |chain, source| format!("{chain}: {source}"))
}

/// Every row of a batch, with the same fault.
fn all_rows(rows: usize, fault: &Fault) -> Vec<(u32, Fault)> {
    (0..rows as u32).map(|row| (row, fault.clone())).collect()
}
