//! Aggregators that misbehave on purpose, each as the setting `deed` demands. `host/engine/tests/it/evil` tests what
//! the host does. They implement the contract without the SDK's macros, which would prevent most of the deeds.

use paceline_plugin::bindings::aggregator::exports::paceline::plugin::aggregation::{Guest, Output, Shape};
use paceline_plugin::bindings::common::paceline::plugin::columns::{Batch, Column, Field, Kind, Packed};
use paceline_plugin::bindings::common::paceline::plugin::settings;
use paceline_plugin::bindings::migration::exports::paceline::plugin::migration;

/// The component.
pub struct Evil;

/// The format of the states: a byte, the number of rows so far.
const OWN_FORMAT: &str = "evil-aggregator/2";

/// The format that `migrate` accepts: the same number in decimal digits.
const OLD_FORMAT: &str = "evil-aggregator/1";

impl Guest for Evil {
    fn describe() -> Result<Shape, String> {
        let fields = vec![Field { path: "/cadence".to_owned(), kind: Kind::Number, default: None }];
        let output = |name: &str| Output { name: name.to_owned(), kind: Kind::Integer };
        let outputs = match deed().as_str() {
            "too-many-outputs" => (0..65).map(|at| output(&format!("output-{at}"))).collect(),
            "outputs-twice" => vec![output("count"), output("count")],
            "nameless-output" => vec![output("")],
            _ => vec![output("count")],
        };
        let state_format = match deed().as_str() {
            "format-without-name" => String::new(),
            "format-too-long" => "f".repeat(65),
            "format-with-space" => "evil aggregator".to_owned(),
            _ => OWN_FORMAT.to_owned(),
        };
        Ok(Shape { fields, outputs, state_format })
    }

    fn fold(batch: Batch, _scores: Vec<f64>, groups: Vec<u32>, states: Packed) -> Result<Packed, String> {
        let [Column::Numbers(cadence)] = batch.columns.as_slice() else {
            return Err("expected one column of numbers".to_owned());
        };
        let mut counts: Vec<Vec<u8>> = unpack(&states);
        for (&group, cadence) in groups.iter().zip(cadence) {
            let count = &mut counts[group as usize];
            match deed().as_str() {
                // The state records the order of the rows.
                "list-and-trap-on-row" => count.push((cadence - 100.0) as u8),
                "spin" => loop {
                    std::hint::black_box(());
                },
                // The state stays as it is.
                "keep-state" => {}
                // What an honest aggregator with a map in its state does: a hundred instructions or so for each byte.
                "read-state" => {
                    let mut sum = 0_u32;
                    for (at, byte) in count.iter().enumerate() {
                        (0..16).for_each(|round| sum = std::hint::black_box(sum.rotate_left(round) ^ u32::from(*byte)));
                        sum = sum.wrapping_add(at as u32);
                    }
                    std::hint::black_box(sum);
                    count[0] = count[0].wrapping_add(1);
                }
                _ => *count = vec![count.first().copied().unwrap_or(0).wrapping_add(1)],
            }
        }
        let victim = cadence.iter().position(|&cadence| cadence == 66.0);
        match (deed().as_str(), victim) {
            ("trap-on-row" | "list-and-trap-on-row", Some(_)) => panic!("this row is the victim"),
            ("state-missing", _) => drop(counts.pop()),
            ("huge-state", Some(row)) => counts[groups[row] as usize] = vec![1; 1 << 20],
            // The ends of one state can't.
            ("ends-decrease", _) if counts.len() == 1 => counts.clear(),
            ("ends-decrease", _) => {
                return Ok(Packed { ends: (0..counts.len() as u32).rev().collect(), bytes: Vec::new() });
            }
            ("ends-beyond", _) => return Ok(Packed { ends: vec![u32::MAX; counts.len()], bytes: Vec::new() }),
            _ => {}
        }
        Ok(pack(&counts))
    }

    fn merge(left: Packed, right: Packed) -> Result<Packed, String> {
        let count = |state: Vec<u8>| state.first().copied().unwrap_or(0);
        let pairs = unpack(&left).into_iter().zip(unpack(&right));
        let mut counts: Vec<_> = pairs.map(|(left, right)| vec![count(left).wrapping_add(count(right))]).collect();
        let victim = unpack(&left).into_iter().position(|state| count(state) == 66);
        match (deed().as_str(), victim) {
            ("merge-missing", _) => drop(counts.pop()),
            ("merge-trap", _) => panic!("no pair can be merged"),
            ("merge-trap-on-pair", Some(_)) => panic!("this pair is the victim"),
            ("merge-huge-state", Some(pair)) => counts[pair] = vec![1; 1 << 20],
            _ => {}
        }
        Ok(pack(&counts))
    }

    fn finish(states: Packed) -> Result<Vec<Column>, String> {
        let counts = unpack(&states).into_iter().map(|count| count.first().copied().unwrap_or(0).into());
        match deed().as_str() {
            "finish-too-long" => Ok(vec![Column::Integers(counts.chain([7]).collect())]),
            "finish-another-kind" => Ok(vec![Column::Numbers(counts.map(|count: i64| count as f64).collect())]),
            "finish-nothing" => Ok(Vec::new()),
            _ => Ok(vec![Column::Integers(counts.collect())]),
        }
    }
}

impl migration::Guest for Evil {
    fn describe() -> Result<Vec<String>, String> {
        let formats = match deed().as_str() {
            "too-many-formats" => return Ok((0..65).map(|version| format!("evil-aggregator/1.{version}")).collect()),
            "migrates-twice-from-one" => vec![OLD_FORMAT, OLD_FORMAT],
            "migrates-from-own" => vec![OLD_FORMAT, OWN_FORMAT],
            "migrates-from-nameless" => vec![OLD_FORMAT, ""],
            "fail-describe-migration" => return Err("I would rather not".to_owned()),
            _ => vec![OLD_FORMAT],
        };
        Ok(formats.into_iter().map(str::to_owned).collect())
    }

    fn migrate(from_format: String, states: Packed) -> Result<Packed, String> {
        if from_format != OLD_FORMAT {
            return Err(format!("the host passed states of the format `{from_format}`"));
        }
        let old = unpack(&states);
        let mut counts = Vec::new();
        for digits in &old {
            counts.push(match digits.as_slice() {
                [] => Vec::new(),
                digits => {
                    let digits = String::from_utf8_lossy(digits);
                    vec![digits.parse::<u8>().map_err(|error| format!("the state is `{digits}`: {error}"))?]
                }
            });
        }
        let victim = old.iter().position(|state| state == b"66");
        match (deed().as_str(), victim) {
            ("migrate-missing", _) => drop(counts.pop()),
            ("migrate-ends-beyond", _) => return Ok(Packed { ends: vec![u32::MAX; counts.len()], bytes: Vec::new() }),
            ("migrate-trap", _) => panic!("no state can be migrated"),
            ("migrate-trap-on-state", Some(_)) => panic!("this state is the victim"),
            ("migrate-huge-state", Some(state)) => counts[state] = vec![1; 1 << 20],
            _ => {}
        }
        Ok(pack(&counts))
    }
}

fn unpack(packed: &Packed) -> Vec<Vec<u8>> {
    let starts = [0].into_iter().chain(packed.ends.iter().copied());
    starts.zip(&packed.ends).map(|(start, &end)| packed.bytes[start as usize..end as usize].to_vec()).collect()
}

fn pack(values: &[Vec<u8>]) -> Packed {
    let ends = values.iter().scan(0, |end, value| {
        *end += value.len() as u32;
        Some(*end)
    });
    Packed { ends: ends.collect(), bytes: values.concat() }
}

fn deed() -> String {
    settings::get("deed").unwrap_or_default()
}

// A native linker rejects the names that components export.
#[cfg(target_arch = "wasm32")]
paceline_plugin::bindings::aggregator::export_aggregator!(Evil with_types_in paceline_plugin::bindings::aggregator);
#[cfg(target_arch = "wasm32")]
paceline_plugin::bindings::migration::export_migration!(Evil with_types_in paceline_plugin::bindings::migration);
