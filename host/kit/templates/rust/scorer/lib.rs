//! A scorer: a racer's output from cadence and resistance.

use paceline_plugin::{Fields, scorer};

/// What the rule reads from a record: the members `/cadence` and `/resistance`.
#[derive(Fields)]
struct Effort {
    cadence: f64,
    #[field(default = 50.0)]
    resistance: f64,
}

/// The rule: one record in, its score out.
fn output(row: Effort) -> f64 {
    (row.cadence + 35.0) * (row.resistance + 65.0) / 100.0
}

scorer!(output);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stronger_and_faster_racer_has_more_output() {
        assert_eq!(output(Effort { cadence: 81.0, resistance: 79.0 }), 167.04);
        assert!(output(Effort { cadence: 82.0, resistance: 80.0 }) > 167.04);
    }
}
