//! Pipelines on a store that several hosts share.

mod commit;
mod support;
mod window;
