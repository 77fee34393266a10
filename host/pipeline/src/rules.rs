//! Rules: what each race type runs, from the registry to what the stages use.
//!
//! # Layout
//!
//! - `document`, `template`, `toml_error`: the TOML document of a rulebook, and its errors.
//! - `nearest`: the name that somebody may have meant.
//! - `routing`: the rules at one revision.
//! - `trial`, `share`: a rulebook that is tried beside the current one.
//! - `tally`, `verdict`: what a trial has shown, and whether that is enough.
//! - `registry`: plugins, rulebooks and the log, as objects in a folder or a bucket.
//! - `log`: the log of changes.
//! - `signature`: signatures of log entries.
//! - `successor`: what may follow what.
//! - `loaded`, `loading`: a rulebook with its plugins loaded, and how it is.
//! - `bound`: a loaded rulebook bound to the fields of a projection.
//! - `catalog`: everything that a batch is evaluated by, immutable.
//! - `rulebooks`, `event`: how this host follows the log, and what that brings.
//! - `head`, `position`, `head_error`: how far the hosts of a store have followed which log.
//! - `acknowledgement`: what each host notes in the store about the rules that it follows.
//! - `standing`: how this host follows the log, in brief.
//! - [`operator`]: how the log is written.
//! - `pins`: the pins of races, cached.

mod acknowledgement;
mod bound;
mod catalog;
mod document;
mod entry;
mod error;
mod event;
mod head;
mod head_error;
mod loaded;
mod loading;
mod log;
mod nearest;
pub mod operator;
mod pins;
mod position;
mod registry;
mod routing;
mod rulebooks;
mod share;
mod signature;
mod standing;
mod successor;
mod tally;
mod template;
mod toml_error;
mod trial;
mod verdict;

pub use acknowledgement::{Acknowledgement, HostIdentity, RefusedRulebook, acknowledgements};
pub(crate) use acknowledgement::{Acknowledger, HostState};
pub(crate) use bound::{BoundAggregate, BoundAttribute, BoundPart, BoundRulebook, FieldConstraint};
pub use catalog::Catalog;
pub(crate) use catalog::{Route, Vetoes};
pub use document::{AggregateUse, DedupRule, KeyTemplate, Literal, OnFailure, PluginUse, Rulebook};
pub use entry::{Change, Entry, InvalidEntry, LOG_FORMAT};
pub use error::{InvalidRulebook, RegistryError, RulebookError, SampleError};
pub use event::RulesEvent;
pub use head::{adopt_head, read_head};
pub use head_error::HeadError;
pub(crate) use loaded::{InputColumn, InputSource, LoadedAggregate};
pub use loading::SharedRulebooks;
pub use log::{Read, Tail, entry_at};
pub(crate) use pins::{MAX_PIN_BYTES, PinCache};
pub use position::{Head, Position};
pub use registry::Registry;
pub use routing::{Published, Reruling, Routing, Rules, StateFormats};
pub use rulebooks::Rulebooks;
pub use share::{NotAShare, Share};
pub use signature::{NotAKey, PublicKey, SigningKey, SigningKeyError};
pub use standing::RulesStanding;
pub use successor::{Candidate, Succession, check_successor};
pub use tally::{Arm, Comparison, Tally};
pub use template::{NotATemplate, Template};
pub use toml_error::{TomlError, parse as parse_toml};
pub use trial::{Trial, TrialLimits, TrialMode};
pub use verdict::{Exceeded, Verdict, verdict};
