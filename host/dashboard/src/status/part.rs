use serde::{Deserialize, Serialize};

/// A part of the status. One that is unknown is `{ "unknown": "why" }` in JSON.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Part<T> {
    /// It could not be observed.
    Unknown(Unknown),
    /// It was observed.
    Known(T),
}

/// Why a part of the status is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Unknown {
    /// The reason in one sentence, without a full stop.
    #[serde(rename = "unknown")]
    pub reason: String,
}

impl<T> Part<T> {
    /// A part that could not be observed, for this reason.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown(Unknown { reason: reason.into() })
    }

    /// The part, if it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(part) => Some(part),
            Self::Unknown(_) => None,
        }
    }
}

impl<T> From<T> for Part<T> {
    fn from(part: T) -> Self {
        Self::Known(part)
    }
}
