//! The state of a tumbling window, which Lambda carries from event to event.
//!
//! It is `{"paceline": "<base64>"}`, or `{}` for an empty window.

use std::error::Error;
use std::sync::Arc;

use paceline_aws::base64;
use paceline_pipeline::shorten;
use paceline_pipeline::window::Window;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

/// The largest state in bytes of JSON. Lambda ends a window whose state exceeds 1 MB, and drops the state.
pub(crate) const MAX_STATE_BYTES: usize = 1_000_000;

/// A window's state can't be decoded. A retry fails as well, because Lambda sends the same state again.
#[derive(Debug, thiserror::Error)]
#[error("this window state was not written by this function; delete the event source mapping and create it again")]
pub struct WindowStateError(#[source] Box<dyn Error + Send + Sync>);

#[derive(Deserialize, Serialize)]
struct State {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paceline: Option<String>,
}

/// Decodes the state of an event. `shard` is the name of the event's shard.
pub fn decode(state: &RawValue, shard: &Arc<str>) -> Result<Window, WindowStateError> {
    let wrong = |error: serde_json::Error| WindowStateError(shorten(&error.to_string()).into());
    let state: Option<State> = serde_json::from_str(state.get()).map_err(wrong)?;
    let Some(text) = state.and_then(|state| state.paceline) else { return Ok(Window::new(Arc::clone(shard))) };
    let bytes = base64::decode(text.as_bytes()).map_err(|error| WindowStateError(error.into()))?;
    Window::from_bytes(&bytes, shard).map_err(|error| WindowStateError(error.into()))
}

/// Encodes the state for a response.
pub fn encode(window: &Window) -> Box<RawValue> {
    let paceline = (!window.is_empty()).then(|| base64::encode(&window.to_bytes()));
    to_raw_value(&State { paceline }).expect("a string can always be encoded")
}

#[cfg(test)]
mod tests {
    use paceline_pipeline::ErrorChain;

    use super::*;

    #[test]
    fn an_empty_window_is_an_empty_object_and_back() {
        let shard: Arc<str> = "alleycat/shardId-000000000000".into();
        let window = Window::new(Arc::clone(&shard));
        assert_eq!(encode(&window).get(), "{}");
        for state in ["{}", "null", r#"{"other": 1}"#] {
            let state: Box<RawValue> = serde_json::from_str(state).unwrap();
            assert_eq!(decode(&state, &shard).unwrap(), window);
        }
    }

    #[test]
    fn a_state_of_another_writer_is_rejected() {
        let shard: Arc<str> = "alleycat/shardId-000000000000".into();
        let bytes = base64::encode(&Window::new("alleycat/shardId-000000000001".into()).to_bytes());
        let other = format!(r#"{{"paceline":"{bytes}"}}"#);
        for (state, what) in [
            (r#"{"paceline": 282}"#, "invalid type: integer"),
            (r#"{"paceline": "*"}"#, "is not base64"),
            (r#"{"paceline": "AAAA"}"#, "has format 0; this program reads format 4"),
            (r#"{"paceline": "BA=="}"#, "can't be decoded"),
            (other.as_str(), "is of shard alleycat/shardId-000000000001"),
        ] {
            let state: Box<RawValue> = serde_json::from_str(state).unwrap();
            let error = decode(&state, &shard).unwrap_err();
            let message = ErrorChain(&error).to_string();
            assert!(message.contains("was not written by this function") && message.contains(what), "{message}");
        }
    }
}
