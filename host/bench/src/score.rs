//! The `output` plugin in the sandbox, with limits, against the same loop in native code.

use std::hint::black_box;

use output::EffortColumns;
use paceline_engine::{Column, Engine, Limits, Settings};

use crate::timing::in_turns;
use crate::{Results, plugin, print_line, simulated};

pub(crate) fn run(results: &mut Results) {
    print_line("\nscoring with the `output` plugin, columns in, columns out");
    let engine = Engine::new(Limits::default()).expect("the sandbox starts");
    let scorer = engine
        .load(&plugin("output"))
        .expect("the plugin loads")
        .scorer(&Settings::new())
        .expect("the plugin is a scorer");
    for rows in [10_000, 1_000, 100_usize] {
        let name = if rows >= 1_000 { format!("{}k", rows / 1_000) } else { rows.to_string() };
        let (cadence, resistance) = effort(rows);
        let columns = [Column::Numbers(&cadence), Column::Numbers(&resistance)];
        let native = || {
            black_box(output::output(EffortColumns {
                cadence: black_box(&cadence),
                resistance: black_box(&resistance),
            }));
        };
        let mut warm = scorer.session();
        assert_eq!(
            warm.score(rows, &columns).expect("the rows are scored").scores,
            output::output(EffortColumns { cadence: &cadence, resistance: &resistance }),
            "both return the same bits"
        );
        let [native_time, control, kept, fresh] = in_turns([
            &mut || native(),
            &mut || native(),
            &mut || drop(black_box(warm.score(rows, black_box(&columns)))),
            &mut || drop(black_box(scorer.session().score(rows, black_box(&columns)))),
        ]);
        let (over_native, target_over_native) = (kept / native_time, if rows == 10_000 { "at most 2.6" } else { "" });
        let target_fresh = match rows {
            10_000 => "at most 3.5",
            1_000 => "at most 10",
            _ => "at most 80",
        };
        results.add(&format!("score_native_ns_per_row_{name}"), native_time / rows as f64, "ns", "");
        results.add(&format!("score_native_control_{name}"), control / native_time, "A/A", "");
        results.add(&format!("score_sandbox_over_native_{name}"), over_native, "kept/native", target_over_native);
        results.add(&format!("score_fresh_ns_per_row_{name}"), fresh / rows as f64, "ns", target_fresh);
    }
}

/// Cadence and resistance of `rows` messages, spread over the racers and seconds of a race.
fn effort(rows: usize) -> (Vec<f64>, Vec<f64>) {
    #[derive(serde::Deserialize)]
    struct Message {
        cadence: f64,
        resistance: f64,
    }
    let lines = simulated(1_000, 100);
    let step = lines.len() / rows;
    let messages = lines.iter().step_by(step).take(rows);
    messages
        .map(|line| {
            let Message { cadence, resistance } = serde_json::from_slice(line).expect("the simulator writes JSON");
            (cadence, resistance)
        })
        .unzip()
}
