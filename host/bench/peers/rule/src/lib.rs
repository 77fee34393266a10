//! The rule of `plugins/output` for one record at a time, as the guests of the other hosts need it: a racer's output,
//! from a JSON message or from two numbers.
#![forbid(unsafe_code)]

use serde::Deserialize;

/// The fields that the rule reads from a message.
#[derive(Deserialize)]
struct Effort {
    cadence: f64,
    resistance: f64,
}

/// The output of a message, or why it can't be read.
pub fn output_of_message(message: &[u8]) -> Result<f64, String> {
    let Effort { cadence, resistance } = serde_json::from_slice(message).map_err(|error| error.to_string())?;
    Ok(output(cadence, resistance))
}

/// `(cadence + 35) * (resistance + 65) / 100`, rounded to 4 decimals, halves up, on the decimal text of the number.
pub fn output(cadence: f64, resistance: f64) -> f64 {
    round4((cadence + 35.0) * (resistance + 65.0) / 100.0)
}

/// What `round4` of `plugins/output` computes, whose comments say why this is right. Text is left where `x` is the last
/// number below a half, in one of a thousand messages.
fn round4(x: f64) -> f64 {
    const NO_FRACTION: f64 = 4_503_599_627_370_496.0;

    let scaled = x * 1e4;
    let nearest = (scaled + NO_FRACTION) - NO_FRACTION;
    if (x - 5e4).abs() < 5e4 && (scaled - nearest).abs() < 0.5 - 1e-6 {
        return nearest / 1e4;
    }
    if x > 0.0 && x < 1e5 {
        let floor = scaled.floor();
        let half = (2.0 * floor + 1.0) / 2e4;
        if x >= half {
            return (floor + 1.0) / 1e4;
        }
        if x < half.next_down() {
            return floor / 1e4;
        }
    }
    by_text(x)
}

#[cold]
fn by_text(x: f64) -> f64 {
    let rounded = format!("{x}e4").parse::<f64>().map(|scaled| (scaled + 0.5).floor());
    rounded.and_then(|rounded| format!("{rounded}e-4").parse()).unwrap_or(x)
}
