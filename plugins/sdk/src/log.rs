//! Lines for the operator's log.
//!
//! The host keeps a bounded number of lines for each call and a bounded length of each line: write what an operator
//! would want to read, not a line a record. In native tests they go to standard error.

macro_rules! levels {
    ($($(#[$doc:meta])* $name:ident $level:ident)*) => {
        $(
            $(#[$doc])*
            pub fn $name(message: &str) {
                write(Level::$level, message);
            }
        )*
    };
}

levels! {
    /// For the author.
    debug Debug
    /// For whoever wants to know.
    info Info
    /// Something that the operator should look at some day.
    warn Warn
    /// Something that the operator should look at now.
    error Error
}

use crate::bindings::common::paceline::plugin::log::Level;

#[cfg(target_arch = "wasm32")]
fn write(level: Level, message: &str) {
    crate::bindings::common::paceline::plugin::log::write(level, message);
}

#[cfg(not(target_arch = "wasm32"))]
fn write(level: Level, message: &str) {
    eprintln!("{level:?}: {message}");
}
