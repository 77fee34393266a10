//! The messages of a race, as the simulator of the Alleycat sample application sends them.
//!
//! The racers, their bounds and their ramps are those of the sample, bit for bit. Where the sample's random numbers
//! have no seed, these have one, so that a race can be repeated. Broken and repeated messages can be mixed in.
//!
//! # Layout
//!
//! - `race`: the parameters of a race.
//! - `messages`: its messages, in the order in which they are sent.
//! - `broken`: the kinds of broken messages.
//! - `keys`: partition keys for the messages.
//! - `source`: a race as a source of batches.
//! - `random`: random numbers as the sample draws them.
#![forbid(unsafe_code)]

mod broken;
mod keys;
mod messages;
mod race;
mod random;
mod source;

pub use keys::Keys;
pub use messages::Messages;
pub use race::{PartitionKey, Race, RaceError};
pub use source::Simulation;
