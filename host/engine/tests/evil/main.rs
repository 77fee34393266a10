//! What the host does about plugins that misbehave: for every deed of `plugins/evil`, which rows fail, with which fault,
//! and that the other rows, and the other plugins of the same engine, are none the worse for it.
//!
//! - [`scorer`], [`validator`], [`aggregator`]: calls that fail, and answers that can't be.
//! - [`log`]: plugins that talk too much.
//! - [`load`]: components that are refused before any record meets them.

mod aggregator;
mod load;
mod log;
mod scorer;
mod validator;

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::LazyLock;

use paceline_engine::{Column, Component, Engine, Fault, Limits, Settings};

/// The engine that tests share where the bounds are the default ones.
static ENGINE: LazyLock<Engine> = LazyLock::new(|| engine(Limits::default()));

/// The engine that tests share where fuel would come before the bound in question.
static UNFUELLED: LazyLock<Engine> = LazyLock::new(|| engine(without_fuel_bound()));

fn engine(limits: Limits) -> Engine {
    Engine::new(limits).unwrap()
}

/// Bounds under which no call ends by its fuel: every byte that a plugin fills or copies costs some, so that by default
/// fuel often ends a plugin before the bound that a test is about.
fn without_fuel_bound() -> Limits {
    Limits { fuel_per_call: 1 << 50, ..Limits::default() }
}

/// The bytes of a plugin that `make plugins` built.
fn wasm(name: &str) -> Vec<u8> {
    let built = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/plugins/");
    let directory = std::env::var_os("PACELINE_PLUGINS").map_or_else(|| built.into(), PathBuf::from);
    let path = directory.join(name).with_extension("wasm");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; `make plugins` builds it", path.display()))
}

fn plugin(engine: &Engine, name: &str) -> Component {
    engine.load(&wasm(name)).unwrap()
}

fn deed(deed: &str) -> Settings {
    [("deed".to_owned(), deed.to_owned())].into()
}

/// A batch for the plugins here. No two rows are alike, and only a victim has a cadence of 66.
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

    /// What the scorers read.
    fn columns(&self) -> [Column<'_>; 2] {
        [Column::Numbers(&self.cadence), Column::Numbers(&self.resistance)]
    }

    /// What the validators and the aggregators read.
    fn cadence(&self) -> [Column<'_>; 1] {
        [Column::Numbers(&self.cadence)]
    }

    /// What evil scorers give to the rows that they do no evil to.
    fn scores(&self) -> Vec<f64> {
        self.cadence.iter().zip(&self.resistance).map(|(cadence, resistance)| cadence * resistance).collect()
    }
}

/// A plugin that does nothing wrong gets its results on this engine.
#[track_caller]
fn assert_unharmed(engine: &Engine) {
    let output = plugin(engine, "output").scorer(&Settings::new()).unwrap();
    let efforts = [Column::Numbers(&[81.0, 83.0, 62.0]), Column::Numbers(&[79.0, 78.0, 68.6])];
    let scored = output.session().score(3, &efforts).unwrap();
    assert_eq!((scored.scores, scored.failed), (vec![167.04, 168.74, 129.592], vec![]));
}

/// The plugin stopped itself where it panics.
#[track_caller]
fn assert_panicked(fault: &Fault) {
    let Fault::Trap(what) = fault else { panic!("{fault:?}") };
    assert_says(what, &["wasm `unreachable` instruction executed"]);
}

#[track_caller]
fn assert_says(message: &impl Display, words: &[&str]) {
    let message = message.to_string();
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
}

/// Every row of a batch, with the same fault.
fn all_rows(rows: usize, fault: &Fault) -> Vec<(u32, Fault)> {
    (0..rows as u32).map(|row| (row, fault.clone())).collect()
}
