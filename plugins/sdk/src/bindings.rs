//! What wit-bindgen makes of `wit/`. Only this crate and its macros use it.
//!
//! The files are in the repository, so that a plugin's first build compiles no generator. A test generates them and
//! compares. `PACELINE_UPDATE=1 cargo test -p paceline-kit bindings` writes them.

#![expect(
    unreachable_pub,
    unsafe_code,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    clippy::undocumented_unsafe_blocks,
    reason = "generated: wit-bindgen follows the canonical ABI, and a test compares"
)]

/// The types and imports that all worlds share.
#[rustfmt::skip]
pub mod common;

/// The world `validator`.
#[rustfmt::skip]
pub mod validator;

/// The world `scorer`.
#[rustfmt::skip]
pub mod scorer;

/// The world `aggregator`.
#[rustfmt::skip]
pub mod aggregator;

/// What the world `migrating-aggregator` adds to `aggregator`. A component gets both from two macros, each with its own
/// world: bindings of the whole world would define the types of `aggregation` a second time.
#[rustfmt::skip]
pub mod migration;
