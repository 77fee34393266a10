//! The rule for Extism: bytes in, bytes out. Scores are 64-bit floats, little end first.

use extism_pdk::{FnResult, plugin_fn};
use peers_rule::{output, output_of_message};

/// One message.
#[plugin_fn]
pub fn record(message: Vec<u8>) -> FnResult<Vec<u8>> {
    let score = output_of_message(&message).map_err(extism_pdk::Error::msg)?;
    Ok(score.to_le_bytes().to_vec())
}

/// Messages, each followed by a line break.
#[plugin_fn]
pub fn batch(messages: Vec<u8>) -> FnResult<Vec<u8>> {
    let lines = messages.strip_suffix(b"\n").unwrap_or(&messages).split(|byte| *byte == b'\n');
    let mut scores = Vec::new();
    for line in lines {
        let score = output_of_message(line).map_err(extism_pdk::Error::msg)?;
        scores.extend_from_slice(&score.to_le_bytes());
    }
    Ok(scores)
}

/// Two columns of numbers behind each other.
#[plugin_fn]
pub fn columns(columns: Vec<u8>) -> FnResult<Vec<u8>> {
    let (cadences, resistances) = columns.as_chunks::<8>().0.split_at(columns.len() / 16);
    let mut scores = Vec::with_capacity(columns.len() / 2);
    for (cadence, resistance) in cadences.iter().zip(resistances) {
        let score = output(f64::from_le_bytes(*cadence), f64::from_le_bytes(*resistance));
        scores.extend_from_slice(&score.to_le_bytes());
    }
    Ok(scores)
}
