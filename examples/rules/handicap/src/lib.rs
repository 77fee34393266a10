//! A scorer: a racer's output in percent of the racer's own best. A message names the best as `personalBest`, in watts; the
//! setting `best` is that of racers whose messages do not.

use paceline_plugin::{Fields, Settings, scorer};

/// The fields that it reads from a message.
#[derive(Fields)]
struct Effort {
    /// Revolutions per minute.
    cadence: f64,
    /// In percent.
    resistance: f64,
    /// Watts; 0 where the message does not say.
    #[field(path = "/personalBest", default = 0.0)]
    personal_best: f64,
}

/// What is known of racers without a best.
#[derive(Settings)]
struct Handicap {
    /// Watts.
    #[setting(default = 150.0)]
    best: f64,
}

fn share(handicap: &Handicap, row: Effort) -> f64 {
    let output = (row.cadence + 35.0) * (row.resistance + 65.0) / 100.0;
    let best = if row.personal_best > 0.0 { row.personal_best } else { handicap.best };
    100.0 * output / best
}

scorer!(share);

#[cfg(test)]
mod tests {
    use paceline_plugin::testing;

    use super::*;

    #[test]
    fn a_racer_is_compared_with_the_racers_own_best() {
        let handicap = testing::with_settings([], Handicap::read).unwrap();
        let of = |personal_best| share(&handicap, Effort { cadence: 65.0, resistance: 85.0, personal_best });
        assert_eq!(of(300.0), 50.0);
        assert_eq!(of(75.0), 200.0);
        assert_eq!(of(0.0), 100.0, "the setting");
        assert_eq!(of(-1.0), 100.0, "no best is negative");
    }
}
