//! Pipelines on a store that several hosts share.

mod commit;
mod flaky_objects;
mod following;
mod head;
mod log;
mod notices;
mod rules;
mod support;
mod trials;
mod window;
