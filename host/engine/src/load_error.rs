//! Why the host refuses a component.

use std::error::Error;

use crate::contract::{self, CONTRACT, CONTRACT_VERSION, MIGRATION, Role};
use crate::fault::{EngineError, Fault};
use crate::limits::AboveCeiling;

/// Why the host refuses a component. Each names what is wrong and, where it can, what to do about it. The message does
/// not repeat that of its source.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The bytes are those of some other file.
    #[error("this is not WebAssembly")]
    NotWebAssembly,
    /// A module that was not made into a component.
    #[error("this is a core module, not a component: build it with `paceline plugin build` or `cargo component build`")]
    CoreModule,
    /// The bytes do not compile.
    #[error("this is not a valid component")]
    Invalid(#[source] Box<dyn Error + Send + Sync>),
    /// It imports what a plugin may not have.
    #[error(
        "it imports `{0}`: a plugin may import only `{CONTRACT}/settings` and `{CONTRACT}/log`{advice}",
        advice = if .0.starts_with("wasi:") { "; build it for wasm32-unknown-unknown, which has no WASI" } else { "" }
    )]
    Import(String),
    /// An import has another type than the contract gives it.
    #[error("an import has another type than in the contract")]
    ImportType(#[source] Box<dyn Error + Send + Sync>),
    /// It was built for another version of the contract; the name of one such interface is given.
    #[error(
        "it was built for `{0}`: build it for version {CONTRACT_VERSION} of `{CONTRACT}`, which this host implements"
    )]
    Version(String),
    /// It exports no interface of the contract; what it exports is given.
    #[error(
        "it exports none of `{CONTRACT}/validation`, `/scoring` and `/aggregation` in version {CONTRACT_VERSION}; it \
         exports: {0}"
    )]
    NoRole(String),
    /// It is a plugin, but not one for this role.
    #[error("it is not {}: it does not export `{CONTRACT}/{}@{CONTRACT_VERSION}`", with_article(*.0), .0.interface())]
    WrongRole(Role),
    /// It exports an interface without one of its functions.
    #[error("it does not export `{0}`")]
    MissingExport(String),
    /// An exported function has another type than the contract gives it.
    #[error("its export `{export}` has another type than in the contract")]
    ExportType {
        /// The function, with its interface.
        export: String,
        /// The difference.
        source: Box<dyn Error + Send + Sync>,
    },
    /// `describe` returned an error, whose text is given. Often it names a setting.
    #[error("its `describe` fails: {0}")]
    Describe(String),
    /// `describe` did not return.
    #[error("its `describe` fails")]
    DescribeFault(#[source] Fault),
    /// `describe` returned something that the contract rules out.
    #[error("its `describe` returns an invalid description: {0}")]
    InvalidDescription(String),
    /// It is an aggregator, but the interface `migration` that it exports as well can't be used.
    #[error("its `{CONTRACT}/{MIGRATION}` is refused")]
    Migration(#[source] Box<LoadError>),
    /// The rulebook sets a limit of it that the host does not allow.
    #[error("its limits are refused")]
    Limits(#[from] AboveCeiling),
    /// The sandbox failed while the component was checked. The component is not to blame.
    #[error("its `describe` can't be called")]
    Engine(#[source] EngineError),
}

impl LoadError {
    /// The refusal of a component that plays no role, by what it exports.
    pub(crate) fn no_role(exports: &[String]) -> Self {
        let other_version = exports.iter().find(|export| {
            let interface = contract::split(export).map(|(interface, _)| interface);
            Role::ALL.iter().any(|role| Some(role.interface()) == interface)
        });
        match other_version {
            Some(export) => Self::Version(export.clone()),
            None if exports.is_empty() => Self::NoRole("nothing".to_owned()),
            None => Self::NoRole(exports.iter().map(|export| format!("`{export}`")).collect::<Vec<_>>().join(", ")),
        }
    }
}

fn with_article(role: Role) -> &'static str {
    match role {
        Role::Validator => "a validator",
        Role::Scorer => "a scorer",
        Role::Aggregator => "an aggregator",
    }
}
