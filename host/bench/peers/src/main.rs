//! The same rule over the same messages, by paceline and by its peers: `make bench-peers` runs them.
//!
//! The rule is the scorer `output`. All contestants give the same scores, to the bit, which is checked first. They run in
//! turns within one process; node runs in a second one and measures its own time. The median of the turns counts, in
//! processor time. The limits that a host has are on. Results go to standard output and to `target/bench/peers.json`.
//!
//! # Layout
//!
//! From top to bottom; no file imports one above it.
//! - `groups`: which contestants are compared, and what their results are called.
//! - `contestants`: one file a host.
//! - `table`: measures a group, prints it, and keeps its results.
//! - `turns`: measures contestants in turns.
//! - `messages`: what they are given.
#![forbid(unsafe_code)]

mod contestants;
mod groups;
mod messages;
mod table;
mod turns;

use std::path::{Path, PathBuf};

use messages::Batch;
use table::Results;

/// The sizes of the batches, and their names in results.
const SIZES: [(usize, &str); 4] = [(1, "1"), (100, "100"), (1_000, "1k"), (10_000, "10k")];

fn main() {
    let paceline = std::env::args_os().nth(1).map(PathBuf::from);
    let paceline = paceline.expect("the first argument is the program `paceline`, which simulates the messages");
    if std::env::var_os("RUST_BACKTRACE").is_some() {
        table::print_line("RUST_BACKTRACE is set, which slows down errors of the sandbox: unset it for valid results");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").canonicalize().expect("the checkout exists");
    let target = root.join("target");
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder).expect("target can be written");

    let messages = messages::simulated(&paceline);
    let batches = SIZES.map(|(rows, name)| Batch::of(&messages, rows, &folder.join(format!("peers-{name}.ndjson"))));
    let mut results = Results::default();
    groups::run(&target, &batches, &mut results);

    let file = folder.join("peers.json");
    results.write(&file);
    table::print_line(&file.display().to_string());
}
