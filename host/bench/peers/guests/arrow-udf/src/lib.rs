//! The rule as a function over Arrow's columns.

use arrow_udf::function;

#[function("output(float64, float64) -> float64")]
fn output(cadence: f64, resistance: f64) -> f64 {
    peers_rule::output(cadence, resistance)
}
