//! Lines for the operator's log.
//!
//! The host limits the number of lines of all calls for a batch, and the length of each line: write what an operator
//! wants to read, not a line for each record. In native tests the lines go to standard error.

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
    /// Writes a line for the plugin's author.
    debug Debug
    /// Writes a line that needs no action.
    info Info
    /// Writes a line about something that the operator should look at eventually.
    warn Warn
    /// Writes a line about something that the operator should look at now.
    error Error
}

use crate::bindings::common::paceline::plugin::log::Level;

#[cfg(target_arch = "wasm32")]
fn write(level: Level, message: &str) {
    crate::bindings::common::paceline::plugin::log::write(level, message);
}

#[cfg(not(target_arch = "wasm32"))]
#[expect(clippy::disallowed_macros, reason = "unit tests of plugins: their harness captures the line")]
fn write(level: Level, message: &str) {
    std::eprintln!("{level:?}: {message}");
}
