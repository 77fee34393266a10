//! A validator: rejects messages whose cadence, resistance, second or event is implausible.
//!
//! The default bounds are those of the exercise bikes of the Alleycat races. Settings change them.

#![cfg_attr(not(test), no_std)]

extern crate alloc;

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use paceline_plugin::decimal::Number;
use paceline_plugin::{Fields, Settings, validator};

/// The fields that it reads from a message.
#[derive(Fields)]
struct Beat<'a> {
    event: &'a str,
    second: i64,
    cadence: f64,
    resistance: f64,
}

/// The plausible values. Bounds are inclusive.
#[derive(Settings)]
struct Bounds {
    /// Revolutions per minute.
    #[setting(default = Number(30.0))]
    min_cadence: Number,
    #[setting(default = Number(90.0))]
    max_cadence: Number,
    #[setting(default = Number(33.0))]
    min_resistance: Number,
    #[setting(default = Number(86.0))]
    max_resistance: Number,
    #[setting(default = 1)]
    min_second: i64,
    /// The simulator races 300 seconds, the browser 600.
    #[setting(default = 600)]
    max_second: i64,
    /// The known events, separated by commas.
    #[setting(default = Events::from("update,final"))]
    events: Events,
}

/// Names separated by commas.
struct Events(Vec<String>);

impl From<&str> for Events {
    fn from(text: &str) -> Self {
        Self(text.split(',').map(str::to_owned).collect())
    }
}

impl core::str::FromStr for Events {
    type Err = core::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.into())
    }
}

fn check(bounds: &Bounds, row: Beat<'_>) -> Result<(), String> {
    within("cadence", Number(row.cadence), bounds.min_cadence, bounds.max_cadence)?;
    within("resistance", Number(row.resistance), bounds.min_resistance, bounds.max_resistance)?;
    within("second", row.second, bounds.min_second, bounds.max_second)?;
    if !bounds.events.0.iter().any(|known| known == row.event) {
        let mut reason = ["event is `", row.event, "`, not one of: "].concat();
        for (place, known) in bounds.events.0.iter().enumerate() {
            reason.push_str(if place > 0 { "," } else { "" });
            reason.push_str(known);
        }
        return Err(reason);
    }
    Ok(())
}

fn within<T: PartialOrd + core::fmt::Display>(field: &str, value: T, min: T, max: T) -> Result<(), String> {
    if value >= min && value <= max {
        return Ok(());
    }
    let [value, min, max] = [value, min, max].map(|number| number.to_string());
    Err([field, " is ", &value, ", not within ", &min, " and ", &max].concat())
}

validator!(check);
paceline_plugin::trap_on_panic!();

#[cfg(test)]
mod tests {
    use paceline_plugin::testing;

    use super::*;

    fn beat() -> Beat<'static> {
        Beat { event: "update", second: 1, cadence: 62.0, resistance: 68.6 }
    }

    fn check_with<const N: usize>(settings: [(&str, &str); N], row: Beat<'_>) -> Result<(), String> {
        testing::with_settings(settings, || check(&Bounds::read()?, row))
    }

    #[test]
    fn a_message_of_the_simulator_passes() {
        assert_eq!(check_with([], beat()), Ok(()));
    }

    #[test]
    fn bounds_are_inclusive() {
        for (cadence, resistance, second) in [(30.0, 33.0, 1), (90.0, 86.0, 600)] {
            assert_eq!(check_with([], Beat { cadence, resistance, second, ..beat() }), Ok(()));
        }
    }

    #[test]
    fn each_field_has_its_reason() {
        let cases = [
            (Beat { cadence: 90.1, ..beat() }, "cadence is 90.1, not within 30 and 90"),
            (Beat { cadence: f64::NAN, ..beat() }, "cadence is NaN, not within 30 and 90"),
            (Beat { resistance: 32.9, ..beat() }, "resistance is 32.9, not within 33 and 86"),
            (Beat { second: 0, ..beat() }, "second is 0, not within 1 and 600"),
            (Beat { event: "start", ..beat() }, "event is `start`, not one of: update,final"),
        ];
        for (row, reason) in cases {
            assert_eq!(check_with([], row), Err(reason.to_owned()));
        }
    }

    #[test]
    fn settings_change_the_bounds() {
        assert_eq!(check_with([("max-cadence", "120")], Beat { cadence: 120.0, ..beat() }), Ok(()));
        assert_eq!(check_with([("events", "start,update")], Beat { event: "start", ..beat() }), Ok(()));
    }

    #[test]
    fn a_setting_that_is_not_a_number_is_refused_by_name() {
        let error = check_with([("max-cadence", "fast")], beat()).unwrap_err();
        assert_eq!(error, "setting `max-cadence` is `fast`: not a number");
    }
}
