//! Pipelines on a store that several hosts share.

mod commit;
mod dedup_rules;
mod flaky_objects;
mod following;
mod log;
mod reruled;
mod rules;
mod support;
mod unsure;
mod window;
