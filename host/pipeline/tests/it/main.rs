//! Pipelines on a store that several hosts share.

mod commit;
mod conflicts;
mod dedup_rules;
mod delivered_again;
mod flaky_objects;
mod following;
mod head;
mod hosts;
mod log;
mod ndjson;
mod notices;
mod other_rules;
mod pins;
mod redriven;
mod reruled;
mod rules;
mod state_formats;
mod succession;
mod support;
mod trials;
mod unsure;
mod window;
mod window_letters;
