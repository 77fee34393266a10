//! Rulebooks: what a race type runs, from the document to what the stages use.
//!
//! # Layout
//!
//! - `document`, `template`, `toml_error`: the TOML document and its errors.
//! - `registry`: rulebooks and plugins that were ever active, in a folder.
//! - `loaded`: a rulebook with its plugins loaded.
//! - `projection`: the fields that all loaded rulebooks read, as a tree.
//! - `bound`: a loaded rulebook bound to the fields of a projection.
//! - `catalog`: everything that a batch is evaluated by, immutable.
//! - `rulebooks`: the current catalog, and how it changes.
//! - `folder`: the watched folder of rulebooks that people edit.
//! - `pins`: the pins of races, cached.

mod bound;
mod catalog;
mod document;
mod error;
mod folder;
mod loaded;
mod pins;
mod projection;
mod registry;
mod rulebooks;
mod template;
mod toml_error;

pub(crate) use bound::{BoundAggregate, BoundAttribute, BoundPart, BoundRulebook, FieldConstraint};
pub use catalog::Catalog;
pub use document::{AggregateUse, DedupRule, KeyTemplate, Literal, PluginUse, Rulebook};
pub use error::{InvalidRulebook, RulebookError};
pub use folder::{RulebookEvent, RulebookFolder};
pub(crate) use loaded::{InputColumn, InputSource, LoadedAggregate};
pub(crate) use pins::PinCache;
pub(crate) use projection::{Member, Projection};
pub use registry::Registry;
pub use rulebooks::Rulebooks;
pub use template::{NotATemplate, Template};
pub use toml_error::{TomlError, parse as parse_toml};
