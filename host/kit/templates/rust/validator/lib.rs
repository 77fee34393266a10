//! A validator: rejects records whose cadence is implausible.

use paceline_plugin::{Fields, Settings, validator};

/// What the rule reads from a record: the member `/cadence`.
#[derive(Fields)]
struct Beat {
    cadence: f64,
}

/// The settings of the rulebook: `min-cadence` and `max-cadence`.
#[derive(Settings)]
struct Bounds {
    #[setting(default = 30.0)]
    min_cadence: f64,
    #[setting(default = 90.0)]
    max_cadence: f64,
}

/// The rule: one record in, the reason to reject it out.
fn check(bounds: &Bounds, row: Beat) -> Result<(), String> {
    let (min, max) = (bounds.min_cadence, bounds.max_cadence);
    match (min..=max).contains(&row.cadence) {
        true => Ok(()),
        false => Err(format!("cadence is {}, not within {min} and {max}", row.cadence)),
    }
}

validator!(check);

#[cfg(test)]
mod tests {
    use paceline_plugin::testing;

    use super::*;

    fn check_with<const N: usize>(settings: [(&str, &str); N], cadence: f64) -> Result<(), String> {
        testing::with_settings(settings, || check(&Bounds::read()?, Beat { cadence }))
    }

    #[test]
    fn the_bounds_are_inclusive() {
        for cadence in [30.0, 90.0] {
            assert_eq!(check_with([], cadence), Ok(()));
        }
    }

    #[test]
    fn the_reason_names_the_field_its_value_and_the_bounds() {
        assert_eq!(check_with([], 95.0), Err("cadence is 95, not within 30 and 90".to_owned()));
    }

    #[test]
    fn a_setting_changes_a_bound() {
        assert_eq!(check_with([("max-cadence", "120")], 95.0), Ok(()));
    }
}
