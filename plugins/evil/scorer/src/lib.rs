//! Scorers that misbehave on purpose, each as the setting `deed` demands. `host/engine/tests/it/evil` tests what the
//! host does.

use paceline_plugin::bindings::common::paceline::plugin::settings;
use paceline_plugin::{Fields, Settings, log, scorer};

/// The fields that they read.
#[derive(Fields)]
pub struct Effort {
    /// Revolutions per minute.
    pub cadence: f64,
    /// The bike's resistance, without a unit.
    pub resistance: f64,
}

#[derive(Settings)]
struct Evil {
    deed: Deed,
    /// The cadence of the one row that `trap-on-row`, `nan-on-row` and `spin-on-row` look for.
    #[setting(default = 66.0)]
    victim: f64,
}

enum Deed {
    /// Never returns.
    Spin,
    /// Never returns if it gets one row.
    SpinOnRow,
    /// Allocates memory without end.
    EatMemory,
    /// Returns one score too many.
    TooLong,
    /// Returns one score too many in the first call of an instance, and the right number in later calls.
    TooLongAtFirst,
    /// Returns one score too few.
    TooShort,
    /// Returns 32 MiB of scores.
    FarTooLong,
    /// Returns NaN for one row.
    NanOnRow,
    /// Traps on one row.
    TrapOnRow,
    /// Logs without end.
    Log,
    /// Logs three lines, the second of 4,999 bytes; does nothing wrong otherwise.
    Chatter,
    /// Logs one line of 32 MiB.
    HugeLog,
    /// Reads a setting without end, by a name of 8 MiB.
    HugeSetting,
    /// Recurses without end.
    Recurse,
    /// Returns the number of calls of its instance as each score.
    Remember,
}

impl std::str::FromStr for Deed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "spin" => Self::Spin,
            "spin-on-row" => Self::SpinOnRow,
            "eat-memory" => Self::EatMemory,
            "too-long" => Self::TooLong,
            "too-long-at-first" => Self::TooLongAtFirst,
            "too-short" => Self::TooShort,
            "far-too-long" => Self::FarTooLong,
            "nan-on-row" => Self::NanOnRow,
            "trap-on-row" => Self::TrapOnRow,
            "log" => Self::Log,
            "chatter" => Self::Chatter,
            "huge-log" => Self::HugeLog,
            "huge-setting" => Self::HugeSetting,
            "recurse" => Self::Recurse,
            "remember" => Self::Remember,
            _ => return Err("no such deed".to_owned()),
        })
    }
}

fn score(evil: &Evil, columns: EffortColumns<'_>) -> Vec<f64> {
    let mut scores: Vec<f64> =
        columns.cadence.iter().zip(columns.resistance).map(|(cadence, resistance)| cadence * resistance).collect();
    let victim = columns.cadence.iter().position(|&cadence| cadence == evil.victim);
    match evil.deed {
        Deed::Spin => spin(),
        Deed::SpinOnRow => {
            if victim.is_some() {
                spin();
            }
        }
        Deed::EatMemory => {
            let mut eaten = Vec::new();
            loop {
                eaten.push(std::hint::black_box(vec![1_u8; 1 << 20]));
            }
        }
        Deed::TooLong => scores.push(1.0),
        Deed::TooLongAtFirst => {
            if calls() == 1 {
                scores.push(1.0);
            }
        }
        Deed::TooShort => drop(scores.pop()),
        Deed::FarTooLong => scores = vec![1.0; 4 << 20],
        Deed::NanOnRow => {
            if let Some(row) = victim {
                scores[row] = f64::NAN;
            }
        }
        Deed::TrapOnRow => {
            assert!(victim.is_none(), "this row is the victim");
        }
        Deed::Log => loop {
            log::info("and another thing");
        },
        Deed::Chatter => {
            log::info("first things first");
            // One byte before characters of two bytes: a cut at an even length would split one of them.
            log::warn(&format!("x{}", "é".repeat(2499)));
            log::error("last but not least");
        }
        Deed::HugeLog => log::info(&huge()),
        Deed::HugeSetting => {
            let name = "x".repeat(8 << 20);
            loop {
                std::hint::black_box(settings::get(&name));
            }
        }
        Deed::Recurse => scores[0] = recurse(columns.cadence[0]),
        Deed::Remember => scores.fill(f64::from(calls())),
    }
    scores
}

fn spin() -> ! {
    loop {
        std::hint::black_box(());
    }
}

/// The number of calls of this instance, including this one.
fn calls() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static CALLS: AtomicU32 = AtomicU32::new(0);
    CALLS.fetch_add(1, Ordering::Relaxed) + 1
}

fn huge() -> String {
    "x".repeat(32 << 20)
}

#[expect(unconditional_recursion, reason = "that is the deed")]
fn recurse(depth: f64) -> f64 {
    std::hint::black_box(recurse(std::hint::black_box(depth + 1.0))) + 1.0
}

scorer!(score);
