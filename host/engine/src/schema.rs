//! What a plugin declares in `describe`: the fields that it reads and the outputs that it gives.

use std::fmt;

use wasmtime::component::{ComponentType, Lift, Lower};

/// The type of a field or of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub enum Kind {
    /// `true` or `false`.
    #[component(name = "boolean")]
    Boolean,
    /// A 64-bit integer.
    #[component(name = "integer")]
    Integer,
    /// A 64-bit float.
    #[component(name = "number")]
    Number,
    /// Text in UTF-8.
    #[component(name = "text")]
    Text,
    /// Bytes.
    #[component(name = "blob")]
    Blob,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Text => "text",
            Self::Blob => "blob",
        })
    }
}

/// The default of a field.
#[derive(Clone, Debug, PartialEq, ComponentType, Lift, Lower)]
#[component(variant)]
pub enum Value {
    /// `true` or `false`.
    #[component(name = "boolean")]
    Boolean(bool),
    /// A 64-bit integer.
    #[component(name = "integer")]
    Integer(i64),
    /// A 64-bit float.
    #[component(name = "number")]
    Number(f64),
    /// Text in UTF-8.
    #[component(name = "text")]
    Text(String),
}

impl Value {
    /// The type of the value.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Boolean(_) => Kind::Boolean,
            Self::Integer(_) => Kind::Integer,
            Self::Number(_) => Kind::Number,
            Self::Text(_) => Kind::Text,
        }
    }
}

/// A field that a plugin reads.
#[derive(Clone, Debug, PartialEq, ComponentType, Lift)]
#[component(record)]
pub struct Field {
    /// A JSON Pointer into the payload, or `@payload`, `@partition-key` or `@arrival-ms`.
    pub path: String,
    /// The type that the value must have.
    pub kind: Kind,
    /// The value for a record that lacks the field.
    pub default: Option<Value>,
}

/// One value that an aggregator gives for each group.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub struct Output {
    /// The attribute of the item that the value is written to.
    pub name: String,
    /// The type of the value.
    pub kind: Kind,
}
