//! What a plugin's calls cost at several sizes, and how near that is to each bound.
//!
//! The calls run without the bounds on fuel and time, so that a plugin that exceeds one is measured, too.

use std::time::Duration;

use paceline_engine::{Called, Fault, Limits, PackedBuf, Role, Usage};

use crate::events::Input;
use crate::subject::Subject;

/// The numbers of rows that calls are measured with: up to a full batch.
pub const SIZES: [usize; 4] = [1, 100, 1_000, 10_000];

/// By how much the bounds on fuel and time are raised: what costs more than that is not measured.
const RAISED: u64 = 64;

/// How often a call is measured. The time is the median.
const RUNS: usize = 5;

/// How many groups the rows of an aggregator belong to, at most: a batch of a second has a row of each of 1,000 racers.
const GROUPS: usize = 1_000;

/// What one call costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// The rows of the call.
    pub rows: usize,
    /// Bytes of the states that the call was given.
    pub state_bytes: usize,
    /// Its fuel, and the bound.
    pub fuel: Share<u64>,
    /// Its time, that of instantiation included, and the bound.
    pub time: Share<Duration>,
    /// The memory of the instance in bytes, and the bound.
    pub memory_bytes: Share<usize>,
    /// Why the call failed even so.
    pub fault: Option<Fault>,
}

/// What is used of a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share<T> {
    /// What is used.
    pub used: T,
    /// The bound.
    pub of: T,
}

impl Share<u64> {
    /// The part that is used; above 1, the bound is exceeded.
    pub fn part(self) -> f64 {
        self.used as f64 / self.of as f64
    }
}

impl Share<usize> {
    /// The part that is used.
    pub fn part(self) -> f64 {
        self.used as f64 / self.of as f64
    }
}

impl Share<Duration> {
    /// The part that is used.
    pub fn part(self) -> f64 {
        self.used.as_secs_f64() / self.of.as_secs_f64()
    }
}

/// Bounds under which a plugin that exceeds those of a host can be measured.
pub fn raised(limits: &Limits) -> Limits {
    Limits {
        fuel_per_call: limits.fuel_per_call.saturating_mul(RAISED),
        fuel_per_row: limits.fuel_per_row.saturating_mul(RAISED),
        fuel_per_byte: limits.fuel_per_byte.saturating_mul(RAISED),
        call_ms: limits.call_ms.saturating_mul(RAISED),
        // The same rows come over and over.
        log_lines: 0,
        ..limits.clone()
    }
}

/// What calls with each of the sizes cost. `subject` runs under [`raised`] bounds; `limits` are those of a host. The rows
/// are those of the events, over and over; those that come again are of other groups. Without rows there is no bill.
pub fn bill(subject: &Subject, input: &Input, limits: &Limits) -> Called<Vec<Cost>> {
    match input.rows() {
        0 => Ok(Vec::new()),
        _ => SIZES.iter().map(|&rows| cost(subject, &repeated(input, rows), limits)).collect(),
    }
}

/// So many rows of the input, over and over.
pub(crate) fn repeated(input: &Input, rows: usize) -> Input {
    let taken: Vec<u32> = (0..rows).map(|row| (row % input.rows()) as u32).collect();
    let mut repeated = input.take(&taken);
    let names = input.names.len();
    let rounds = (GROUPS / names).max(1);
    for (row, group) in repeated.groups.iter_mut().enumerate() {
        *group += (row / input.rows() % rounds * names) as u32;
    }
    let used = repeated.groups.iter().max().map_or(0, |group| *group as usize + 1);
    repeated.names = (0..used).map(|group| format!("{} ({})", input.names[group % names], group / names)).collect();
    repeated
}

/// The states of an aggregator's groups after these rows: what a call with the same rows is given then.
pub(crate) fn states(subject: &Subject, input: &Input) -> Called<PackedBuf> {
    Ok(match subject {
        Subject::Aggregator(aggregator) => {
            let new: PackedBuf = input.names.iter().map(|_| &b""[..]).collect();
            let mut session = aggregator.session();
            session.fold(&input.columns(), &input.scores, &input.groups, new.as_packed())?.states
        }
        _ => PackedBuf::default(),
    })
}

fn cost(subject: &Subject, input: &Input, limits: &Limits) -> Called<Cost> {
    let states = states(subject, input)?;
    let mut runs = (0..RUNS).map(|_| call(subject, input, &states)).collect::<Called<Vec<_>>>()?;
    runs.sort_by_key(|(usage, _)| usage.time);
    let (Usage { fuel, time, memory_bytes, .. }, fault) = runs.swap_remove(RUNS / 2);
    let state_bytes = states.bytes.len();
    let work = input.rows() + states.ends.len();
    let text_bytes: usize = input.columns().iter().map(|column| column.text_bytes(&(0..input.rows()))).sum();
    Ok(Cost {
        rows: input.rows(),
        state_bytes,
        fuel: Share { used: fuel, of: limits.fuel_of(work, state_bytes + text_bytes) },
        time: Share { used: time, of: Duration::from_millis(limits.call_ms) },
        memory_bytes: Share { used: memory_bytes, of: limits.memory_bytes },
        fault,
    })
}

/// One call, and the first of its faults.
pub(crate) fn call(subject: &Subject, input: &Input, states: &PackedBuf) -> Called<(Usage, Option<Fault>)> {
    let columns = input.columns();
    Ok(match subject {
        Subject::Validator(validator) => {
            let mut session = validator.session();
            let failed = session.validate(input.rows(), &columns)?.failed;
            (session.usage().clone(), first(failed))
        }
        Subject::Scorer(scorer) => {
            let mut session = scorer.session();
            let failed = session.score(input.rows(), &columns)?.failed;
            (session.usage().clone(), first(failed))
        }
        Subject::Aggregator(aggregator) => {
            let mut session = aggregator.session();
            let failed = session.fold(&columns, &input.scores, &input.groups, states.as_packed())?.failed;
            (session.usage().clone(), first(failed))
        }
    })
}

fn first(failed: Vec<(u32, Fault)>) -> Option<Fault> {
    failed.into_iter().next().map(|(_, fault)| fault)
}

/// The setting that raises a bound on fuel, for a role.
pub fn fuel_setting(role: Role) -> &'static str {
    match role {
        Role::Validator | Role::Scorer => "fuel-per-row",
        Role::Aggregator => "fuel-per-row or fuel-per-byte",
    }
}
