//! The metrics that the function writes into its log, in CloudWatch's embedded metric format.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use paceline_testbed::clock::Clock;
use serde_json::Value;

/// Counts of the function without other dimensions.
const COUNTS: [&str; 6] =
    ["Records", "Groups", "Conflicts", "UncommittedBatches", "DeadLetters", "WindowsCommittedEarly"];

/// The sums of each count by period. A period in which nothing was counted has no sum, as in CloudWatch.
pub(crate) type Counts = BTreeMap<&'static str, BTreeMap<u64, f64>>;

/// The time of the machine that a clock began at, for the times in a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogClock {
    machine_ms: i64,
    shown_ms: i64,
    speed: f64,
}

impl LogClock {
    pub(crate) fn new(clock: &Clock) -> Self {
        let machine = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { machine_ms: machine.as_millis() as i64, shown_ms: clock.now_ms(), speed: clock.speed() }
    }

    fn shown(&self, machine_ms: i64) -> i64 {
        self.shown_ms + ((machine_ms - self.machine_ms) as f64 * self.speed) as i64
    }
}

/// The counts in a log, by period from a start on.
pub(crate) fn counts(log: &str, clock: LogClock, start_ms: i64, period_ms: i64) -> Counts {
    let mut counts = Counts::new();
    for line in log.lines().filter(|line| line.contains(r#""_aws":{"#)) {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        let metrics = &line["_aws"]["CloudWatchMetrics"][0];
        let Some(at) = line["_aws"]["Timestamp"].as_i64() else { continue };
        let since = clock.shown(at) - start_ms;
        if since < 0 || metrics["Dimensions"][0].as_array().is_none_or(|names| names.len() != 1) {
            continue;
        }
        for name in COUNTS {
            if let Some(count) = line[name].as_f64() {
                *counts.entry(name).or_default().entry((since / period_ms).unsigned_abs()).or_default() += count;
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_added_by_period_of_the_clock() {
        let line = |at: i64, dimensions: &str| {
            format!(
                r#"{{"Records":5,"_aws":{{"CloudWatchMetrics":[{{"Dimensions":[{dimensions}]}}],"Timestamp":{at}}},"function":"f"}}"#
            )
        };
        let one = r#"["function"]"#;
        let log = [line(1_000, one), line(1_900, one), line(2_100, one), line(1_000, r#"["function","rulebook"]"#)];
        let clock = LogClock { machine_ms: 1_000, shown_ms: 70_000, speed: 10.0 };
        let counts = counts(&format!("started\n{}", log.join("\n")), clock, 70_000, 10_000);
        assert_eq!(counts["Records"], BTreeMap::from([(0, 10.0), (1, 5.0)]));
    }
}
