//! The states of groups, and the names of their formats: what a plugin returned, checked.

use std::ops::Range;

use crate::fault::Fault;
use crate::limits;
use crate::load_error::LoadError;
use crate::packed::{Packed, PackedBuf};

pub(crate) fn check_states(states: &PackedBuf, expected: usize, state_bytes: usize) -> Result<(), Fault> {
    states.check(expected).map_err(|wrong| Fault::InvalidResult(format!("states with {wrong}")))?;
    match states.as_packed().iter().map(<[u8]>::len).max() {
        Some(longest) if longest > state_bytes => Err(Fault::InvalidResult(format!(
            "a state of {longest} bytes; {state_bytes} are allowed (limit `state-bytes`)"
        ))),
        _ => Ok(()),
    }
}

/// The states after calls for some of them: those of the other rows are as before.
pub(crate) fn replaced(before: Packed<'_>, results: &[(Range<usize>, PackedBuf)]) -> PackedBuf {
    let mut states: Vec<&[u8]> = before.iter().collect();
    for (range, after) in results {
        states[range.clone()].iter_mut().zip(after.as_packed().iter()).for_each(|(state, after)| *state = after);
    }
    states.into_iter().collect()
}

pub(crate) fn check_state_format(format: &str) -> Result<(), LoadError> {
    let invalid = |wrong: String| {
        Err(LoadError::InvalidDescription(format!(
            "a state format with {wrong}; it has 1 to {} ASCII letters, digits, `.`, `_`, `-` and `/`",
            limits::STATE_FORMAT_BYTES
        )))
    };
    if format.is_empty() || format.len() > limits::STATE_FORMAT_BYTES {
        return invalid(format!("{} bytes", format.len()));
    }
    match format.chars().find(|char| !char.is_ascii_alphanumeric() && !"._-/".contains(*char)) {
        Some(char) => invalid(format!("the character {char:?}")),
        None => Ok(()),
    }
}

pub(crate) fn check_migrated_formats(formats: &[String], own: &str) -> Result<(), LoadError> {
    let invalid = |text: String| Err(LoadError::InvalidDescription(text));
    if formats.len() > limits::MIGRATED_FORMATS {
        return invalid(format!("{} state formats; {} are allowed", formats.len(), limits::MIGRATED_FORMATS));
    }
    for (at, format) in formats.iter().enumerate() {
        check_state_format(format)?;
        if format == own {
            return invalid(format!(
                "the state format `{format}`, which is the plugin's own: give the plugin's states another name, or take \
                 this one out of the migration"
            ));
        }
        if formats[..at].contains(format) {
            return invalid(format!("the state format `{format}` twice"));
        }
    }
    Ok(())
}
