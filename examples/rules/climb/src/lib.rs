//! A scorer: the output in watts, where resistance above a threshold weighs more, as in a climb.

use std::str::FromStr;

use paceline_plugin::{Fields, Settings, scorer};

/// The fields that it reads from a message.
#[derive(Fields)]
struct Effort {
    /// Revolutions per minute.
    cadence: f64,
    /// In percent.
    resistance: f64,
}

/// What a climb is.
#[derive(Settings)]
struct Climb {
    /// The resistance above which it is a climb, in percent.
    #[setting(default = Finite(60.0))]
    threshold: Finite,
    /// How often each percent above the threshold counts.
    #[setting(default = Finite(2.0))]
    weight: Finite,
}

/// A number that is not infinite: the settings of a rulebook are texts, and `inf` is one that Rust takes for a number.
#[derive(Clone, Copy)]
struct Finite(f64);

impl FromStr for Finite {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number: f64 = text.parse().map_err(|_| "it is not a number".to_owned())?;
        if number.is_finite() { Ok(Self(number)) } else { Err("it is not finite".to_owned()) }
    }
}

fn output(climb: &Climb, row: Effort) -> f64 {
    let above = (row.resistance - climb.threshold.0).max(0.0);
    let resistance = row.resistance + (climb.weight.0 - 1.0) * above;
    (row.cadence + 35.0) * (resistance + 65.0) / 100.0
}

scorer!(output);

#[cfg(test)]
mod tests {
    use paceline_plugin::testing;

    use super::*;

    fn score<const N: usize>(settings: [(&'static str, &'static str); N], cadence: f64, resistance: f64) -> f64 {
        let climb = testing::with_settings(settings, Climb::read).unwrap();
        output(&climb, Effort { cadence, resistance })
    }

    #[test]
    fn only_resistance_above_the_threshold_weighs_more() {
        // (65 + 35) * (60 + 65) / 100, and 20 percent more, twice.
        assert_eq!(score([], 65.0, 60.0), 125.0);
        assert_eq!(score([], 65.0, 80.0), 165.0);
        assert_eq!(score([("weight", "1")], 65.0, 80.0), 145.0);
        assert_eq!(score([("threshold", "90")], 65.0, 80.0), 145.0);
    }

    #[test]
    fn a_weight_that_is_not_finite_is_refused() {
        let error = testing::with_settings([("weight", "inf")], Climb::read).err().unwrap();
        assert_eq!(error, "setting `weight` is `inf`: it is not finite");
    }
}
