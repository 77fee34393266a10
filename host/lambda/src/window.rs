//! The state of a tumbling window, as Lambda carries it from event to event.
//!
//! `{"paceline": "<base64>"}`, and `{}` where there is nothing to carry.

use std::sync::Arc;

use paceline_pipeline::window::Window;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use paceline_aws::base64;

/// Bytes of a state's JSON that are carried. Lambda ends a window whose state has more than 1 MB, and drops it.
pub(crate) const STATE_BYTES: usize = 1_000_000;

#[derive(Deserialize, Serialize)]
struct State {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paceline: Option<String>,
}

/// Reads the state that came with an event.
pub(crate) fn read(state: &RawValue, shard: &Arc<str>) -> Result<Window, String> {
    let wrong = |what: String| {
        format!(
            "the state of the tumbling window {what}: it is none that this function answered with; delete and make the event source mapping anew"
        )
    };
    let state: Option<State> =
        serde_json::from_str(state.get()).map_err(|error| wrong(format!("can't be read: {error}")))?;
    let Some(text) = state.and_then(|state| state.paceline) else { return Ok(Window::new(Arc::clone(shard))) };
    let bytes = base64::decode(text.as_bytes()).map_err(|_| wrong("is not base64".to_owned()))?;
    Window::from_bytes(&bytes, shard).map_err(|error| wrong(error.to_string()))
}

/// Writes the state that goes with the answer.
pub(crate) fn write(window: &Window) -> Box<RawValue> {
    let paceline = (!window.is_empty()).then(|| base64::encode(&window.to_bytes()));
    to_raw_value(&State { paceline }).expect("a text can always be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_window_is_an_empty_object_and_back() {
        let shard: Arc<str> = "alleycat/shardId-000000000000".into();
        let window = Window::new(Arc::clone(&shard));
        assert_eq!(write(&window).get(), "{}");
        for state in ["{}", "null", r#"{"other": 1}"#] {
            let state: Box<RawValue> = serde_json::from_str(state).unwrap();
            assert_eq!(read(&state, &shard).unwrap(), window);
        }
    }

    #[test]
    fn a_state_of_somebody_else_is_refused() {
        let shard: Arc<str> = "alleycat/shardId-000000000000".into();
        let bytes = base64::encode(&Window::new("alleycat/shardId-000000000001".into()).to_bytes());
        let other = format!(r#"{{"paceline":"{bytes}"}}"#);
        for (state, what) in [
            (r#"{"paceline": 282}"#, "can't be read"),
            (r#"{"paceline": "*"}"#, "is not base64"),
            (r#"{"paceline": "AAAA"}"#, "has format 0, this program knows 1"),
            (r#"{"paceline": "AQ=="}"#, "can't be read"),
            (other.as_str(), "is of shard alleycat/shardId-000000000001"),
        ] {
            let state: Box<RawValue> = serde_json::from_str(state).unwrap();
            let error = read(&state, &shard).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
    }
}
