//! Payloads in memory to group states that are ready to commit, against a plain loop that decodes each message with
//! serde_json into a struct of the same fields and does the same arithmetic on a map.

use paceline_testbed::rules;
use std::collections::HashMap;
use std::hint::black_box;

use paceline_pipeline::model::{Batch, BatchLimits};
use paceline_pipeline::store::MemoryStore;
use paceline_pipeline::{Pipeline, RetryPolicy};
use serde::Deserialize;

use crate::timing::in_turns;
use crate::{Results, print_line, simulated};

/// The fields that the plugins and the rulebook read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    event: &'a str,
    device_timestamp: i64,
    second: i64,
    race_id: i64,
    racer_id: i64,
    class_id: i64,
    cadence: f64,
    resistance: f64,
}

/// The states by race and racer, and by class and racer.
#[derive(Default)]
struct Standings {
    races: HashMap<(i64, i64), (i64, i64, f64, bool)>,
    classes: HashMap<(i64, i64), (f64, i64, i64)>,
}

fn plain(batch: &Batch) -> Standings {
    let mut standings = Standings::default();
    for record in 0..batch.records.len() {
        let Ok(message) = serde_json::from_slice::<Message<'_>>(batch.payload(record)) else { continue };
        let is_valid = (30.0..=90.0).contains(&message.cadence)
            && (33.0..=86.0).contains(&message.resistance)
            && (1..=600).contains(&message.second)
            && matches!(message.event, "update" | "final");
        if !is_valid {
            continue;
        }
        let score = output::round4((message.cadence + 35.0) * (message.resistance + 65.0) / 100.0);
        let is_final = message.event == "final";
        let last = standings.races.entry((message.race_id, message.racer_id)).or_default();
        if message.second > last.0 {
            *last = (message.second, message.device_timestamp, score, is_final);
        }
        if is_final {
            let best = standings.classes.entry((message.class_id, message.racer_id)).or_default();
            if score > best.0 {
                *best = (score, message.race_id, message.device_timestamp);
            }
        }
    }
    standings
}

/// The last `rows` messages of a simulated race of 1,000 racers, or of `rows` racers if those are fewer.
fn batch(rows: usize) -> Batch {
    let racers = rows.min(1_000);
    let lines = simulated(racers, 300);
    let mut batch = Batch::new("bench".into());
    lines[lines.len() - rows..].iter().enumerate().for_each(|(at, line)| batch.push(line, (at as u64).into()));
    batch
}

pub(crate) fn run(results: &mut Results) {
    print_line("\npayloads to folded groups: validate, score, two aggregators, up to 1,000 racers");
    let pipeline =
        Pipeline::new(MemoryStore::default(), rules::alleycat(), BatchLimits::default(), RetryPolicy::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("the runtime starts");

    for rows in [10_000, 1_000, 100_usize] {
        let name = if rows >= 1_000 { format!("{}k", rows / 1_000) } else { rows.to_string() };
        let batch = batch(rows);
        let evaluation = runtime.block_on(pipeline.evaluate(&batch)).expect("the batch is evaluated");
        let standings = plain(&batch);
        assert_eq!(
            evaluation.writes.len(),
            standings.races.len() + standings.classes.len(),
            "both result in the same groups"
        );
        assert!(evaluation.dead_letters.is_empty(), "every message is valid");
        let [native, control, paceline] = in_turns([
            &mut || drop(black_box(plain(black_box(&batch)))),
            &mut || drop(black_box(plain(black_box(&batch)))),
            &mut || drop(black_box(runtime.block_on(pipeline.evaluate(black_box(&batch))))),
        ]);
        let target = match rows {
            10_000 => "at most 1.0",
            1_000 => "at most 2.0",
            _ => "at most 3.0",
        };
        results.add(&format!("pipeline_native_ns_per_record_{name}"), native / rows as f64, "ns", "");
        results.add(&format!("pipeline_native_control_{name}"), control / native, "A/A", "");
        results.add(&format!("pipeline_ns_per_record_{name}"), paceline / rows as f64, "ns", "");
        results.add(&format!("pipeline_over_native_{name}"), paceline / native, "paceline/native", target);
    }
}
