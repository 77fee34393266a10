//! Files of prices and calibrations.

use std::error::Error;

use paceline_plan::{Prices, Work};

#[test]
fn a_calibration_replaces_what_it_names() {
    let work = Work::from_toml("request-ms = 3.5\nmessage-ns = 700\n").unwrap();
    assert_eq!(work, Work { request_ms: 3.5, message_ns: 700.0, ..Work::default() });
}

#[test]
fn an_unknown_key_of_a_calibration_is_refused() {
    let error = Work::from_toml("request-millis = 3.5\n").unwrap_err();
    assert_eq!(error.to_string(), "the calibration can't be used");
    assert!(error.source().unwrap().to_string().contains("unknown field `request-millis`"), "{error:?}");
}

#[test]
fn a_table_of_prices_has_all_of_them() {
    let all = include_str!("../../../capacity/prices/us-east-1.toml");
    assert_eq!(Prices::from_toml(all).unwrap(), Prices::default());
    let cheaper = Prices::from_toml(&all.replace("shard-hour = 0.015", "shard-hour = 0.018")).unwrap();
    assert_eq!(cheaper.kinesis.shard_hour, 0.018);
    let error = Prices::from_toml(&all.replace("metric-month", "metric-year")).unwrap_err();
    assert!(error.source().unwrap().to_string().contains("unknown field `metric-year`"), "{error:?}");
}
