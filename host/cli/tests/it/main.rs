//! The program `paceline` as its users see it: commands in, output and stored items out.
//!
//! # Layout
//!
//! - `support`, `dynamo`, `fake_kinesis`: what the tests run the program with.
//! - `start`, `race`, `bad_input`, `crash`, `swap`, `dead_letters`, `table`, `healthcheck`: `paceline run` and the commands
//!   around it.
//! - `producer`: `paceline simulate` into a stream; `stream`: `paceline run` on one.
//! - `kcl`, `kcl_properties`, `kcl_daemon`: `paceline kcl`.
//! - `plugin`, `example`, `image`, `docs`: what authors and operators start from.

mod bad_input;
mod crash;
mod dead_letters;
mod docs;
mod dynamo;
mod example;
mod fake_kinesis;
mod healthcheck;
mod image;
mod kcl;
mod kcl_daemon;
mod kcl_properties;
mod plugin;
mod producer;
mod race;
mod start;
mod stream;
mod support;
mod swap;
mod table;
