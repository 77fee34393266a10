//! Kinesis: streams, read and written.
//!
//! # Layout
//!
//! - `config`: the settings.
//! - `client`: how Kinesis is reached.
//! - `error`: what goes wrong, and what to do about it.

mod client;
mod config;
mod error;

pub use client::Stream;
pub use config::{ConsumerKind, KinesisConfig, Start};
pub use error::{Kind, StreamError};
