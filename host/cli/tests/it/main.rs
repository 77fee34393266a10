//! Tests of the program `paceline`: they run its commands and check the output and the stored items.
//!
//! # Layout
//!
//! - `support`, `dynamo`, `fake_kinesis`, `ruled`: helpers.
//! - `start`, `race`, `bad_input`, `files`, `crash`, `swap`, `reruled`, `dead_letters`, `reprocess`, `unsure`, `table`,
//!   `credentials`, `stopping`, `address_space`, `healthcheck`: `paceline run` and related commands.
//! - `no_store`: commands that only read a store, without one.
//! - `doctor`, `plan`: `paceline doctor`, `paceline plan`.
//! - `permissions`: the policies of IAM, and what the commands do.
//! - `rules`, `replay`, `precompiled`, `samples`, `trials`, `hosts`: `paceline rules`.
//! - `producer`: `paceline simulate` into a stream; `stream`: `paceline run` on one.
//! - `kcl`, `kcl_properties`, `kcl_daemon`: `paceline kcl`.
//! - `torture`: `paceline torture`.
//! - `oci`: plugins in registries of container images.
//! - `authors`, `plugin`, `example`, `image`, `docs`: plugins, examples, container images and documents.

mod address_space;
mod authors;
mod bad_input;
mod crash;
mod credentials;
mod dead_letters;
mod docs;
mod doctor;
mod dynamo;
mod example;
mod example_rules;
mod fake_kinesis;
mod files;
mod growing;
mod healthcheck;
mod hosts;
mod image;
mod kcl;
mod kcl_daemon;
mod kcl_properties;
mod kcl_served;
mod looking;
mod modules;
mod no_store;
mod oci;
mod permissions;
mod plan;
mod plugin;
mod plugin_test;
mod plugin_verify;
mod precompiled;
mod producer;
mod race;
mod replay;
mod reprocess;
mod reruled;
mod ruled;
mod rules;
mod samples;
mod start;
mod stopping;
mod stream;
mod support;
mod swap;
mod table;
mod torture;
mod trials;
mod unsure;
