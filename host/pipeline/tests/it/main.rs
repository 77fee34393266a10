//! Pipelines on a store that several hosts share.

mod commit;
mod rules;
mod support;
mod window;
