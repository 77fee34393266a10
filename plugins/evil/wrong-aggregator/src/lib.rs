//! Aggregators that are subtly wrong on purpose, each as the setting `wrong` demands; without the setting the aggregator
//! is right. `paceline plugin verify` finds each of them. They implement the contract without the SDK's macros, which
//! would prevent some of the mistakes.

mod state;
mod wrong;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};

use paceline_plugin::bindings::aggregator::exports::paceline::plugin::aggregation::{Guest, Output, Shape};
use paceline_plugin::bindings::common::paceline::plugin::columns::{Batch, Column, Field, Kind, Packed};

use state::{Last, State, pack, unpack};
use wrong::Wrong;

/// The component.
pub struct Aggregator;

impl Guest for Aggregator {
    fn describe() -> Result<Shape, String> {
        Wrong::read()?;
        let field = |path: &str| Field { path: path.to_owned(), kind: Kind::Integer, default: None };
        let output = |name: &str, kind| Output { name: name.to_owned(), kind };
        Ok(Shape {
            fields: vec![field("/second"), field("/deviceTimestamp")],
            outputs: vec![
                output("output", Kind::Number),
                output("second", Kind::Integer),
                output("records", Kind::Integer),
                output("sum", Kind::Integer),
                output("mean", Kind::Number),
            ],
            state_format: state::FORMAT.to_owned(),
        })
    }

    fn fold(batch: Batch, scores: Vec<f64>, groups: Vec<u32>, states: Packed) -> Result<Packed, String> {
        let wrong = Wrong::read()?;
        let [Column::Integers(seconds), Column::Integers(sent_ms)] = batch.columns.as_slice() else {
            return Err("expected two columns of integers".to_owned());
        };
        let mut states = unpack(&states, wrong)?;
        let calls = calls();
        let mut best_of_call = f64::NEG_INFINITY;
        for (row, &group) in groups.iter().enumerate() {
            // Taken for a header.
            if wrong == Wrong::SkipsFirstRow && row == 0 {
                continue;
            }
            let state = &mut states[group as usize];
            let last = Last { second: seconds[row], sent_ms: sent_ms[row], output: scores[row] };
            match wrong {
                Wrong::CounterInStatic => state.sum += calls,
                Wrong::TimeBase => state.sum = state.sum.max(sent_ms[row].saturating_sub(sent_ms[0])),
                Wrong::Overflow => {
                    let micros = sent_ms[row].checked_mul(1_000).expect("microseconds fit");
                    state.sum = state.sum.max(micros);
                }
                Wrong::LeaksBetweenGroups => {
                    best_of_call = scores[row].max(best_of_call);
                    state.sum = state.sum.max(best_of_call as i64);
                }
                Wrong::Grows => state.seen.push((last, [scores[row]; 2])),
                Wrong::GrowsSlowly => state.seconds.push(seconds[row]),
                Wrong::HashMap => state.zones = zones(&state.zones, &[(seconds[row].rem_euclid(8), scores[row])]),
                _ => state.sum = state.sum.saturating_add((scores[row] * 1_000.0).round() as i64),
            }
            fold(state, last, wrong);
        }
        pack(&states, wrong)
    }

    fn merge(left: Packed, right: Packed) -> Result<Packed, String> {
        let wrong = Wrong::read()?;
        let pairs = state::slices(&left).zip(state::slices(&right));
        let mut merged = Packed { ends: Vec::new(), bytes: Vec::new() };
        for (left, right) in pairs {
            match (left, right) {
                ([], one) | (one, []) if wrong != Wrong::EmptyNotNeutral => merged.bytes.extend_from_slice(one),
                (left, right) => {
                    let state = merge(state::decode(left, wrong)?, state::decode(right, wrong)?, wrong);
                    merged.bytes.extend(state::encode(&state, wrong)?);
                }
            }
            merged.ends.push(merged.bytes.len() as u32);
        }
        Ok(merged)
    }

    fn finish(states: Packed) -> Result<Vec<Column>, String> {
        let states = unpack(&states, Wrong::read()?)?;
        let last = |state: &State| state.last.unwrap_or(Last { output: f64::NAN, ..Last::default() });
        Ok(vec![
            Column::Numbers(states.iter().map(|state| last(state).output).collect()),
            Column::Integers(states.iter().map(|state| last(state).second).collect()),
            Column::Integers(states.iter().map(|state| state.records.into()).collect()),
            Column::Integers(states.iter().map(|state| state.sum).collect()),
            Column::Numbers(states.iter().map(|state| state.mean).collect()),
        ])
    }
}

fn fold(state: &mut State, last: Last, wrong: Wrong) {
    state.records = state.records.saturating_add(1);
    if wrong == Wrong::MeanOfMeans {
        state.mean += (last.output - state.mean) / f64::from(state.records);
    }
    if wrong == Wrong::FloatSum {
        state.mean += last.output;
    }
    if wrong == Wrong::LastArrivalWins || state.last.is_none_or(|before| last.replaces(&before)) {
        state.last = Some(last);
    }
}

fn merge(left: State, right: State, wrong: Wrong) -> State {
    let last = match (left.last, right.last) {
        (Some(left), Some(right)) => Some(match wrong {
            Wrong::KeepsLeft => left,
            Wrong::LastArrivalWins => right,
            _ if right.replaces(&left) => right,
            _ => left,
        }),
        (left, right) => left.or(right),
    };
    let sum = match wrong {
        Wrong::TimeBase | Wrong::Overflow | Wrong::LeaksBetweenGroups => left.sum.max(right.sum),
        // To tens, so that it looks nice.
        Wrong::RoundsWhenMerging => (left.sum.saturating_add(right.sum) + 5_000).div_euclid(10_000) * 10_000,
        _ => left.sum.saturating_add(right.sum),
    };
    State {
        records: left.records.saturating_add(right.records),
        sum,
        mean: if wrong == Wrong::FloatSum { left.mean + right.mean } else { (left.mean + right.mean) / 2.0 },
        last,
        seen: [left.seen, right.seen].concat(),
        seconds: [left.seconds, right.seconds].concat(),
        zones: zones(&left.zones, &right.zones),
    }
}

/// The greatest output in each zone, in the order of a hash map.
fn zones(some: &[(i64, f64)], more: &[(i64, f64)]) -> Vec<(i64, f64)> {
    let mut zones: HashMap<i64, f64> = HashMap::new();
    for &(zone, output) in some.iter().chain(more) {
        zones.entry(zone).and_modify(|best| *best = best.max(output)).or_insert(output);
    }
    zones.into_iter().collect()
}

/// The number of calls of this instance, including this one.
fn calls() -> i64 {
    static CALLS: AtomicI64 = AtomicI64::new(0);
    CALLS.fetch_add(1, Ordering::Relaxed) + 1
}

// A native linker rejects the names that components export.
#[cfg(target_arch = "wasm32")]
paceline_plugin::bindings::aggregator::export_aggregator!(Aggregator with_types_in paceline_plugin::bindings::aggregator);
