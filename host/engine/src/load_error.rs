//! Why the host refuses a component.

use std::error::Error;

use crate::contract::{self, CONTRACT, CONTRACT_VERSION, MIGRATION, Role};
use crate::fault::{EngineError, Fault};
use crate::inspect::Language;
use crate::limits::AboveCeiling;

/// How jco builds a component with QuickJS that has neither WASI nor asynchronous functions.
const QJS_OPTIONS: &str = "--backend qjs --backend-qjs-stub-wasi --backend-qjs-disable-async";

/// Where the contract is to be had that this host implements.
const CONTRACT_HERE: &str = "`paceline plugin new NAME --kind KIND` writes the contract and a plugin that exports it";

/// How componentize-js builds a component with StarlingMonkey that has no WASI.
const STARLING_OPTIONS: &str = "-d stdio random clocks http fetch-event";

/// Why the host refuses a component. Each names what is wrong and, where it can, what to do about it. The message does
/// not repeat that of its source.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The bytes are those of some other file.
    #[error("this is not WebAssembly: {0}")]
    NotWebAssembly(&'static str),
    /// A module that was not made into a component.
    #[error("this is a core module, not a component: build it with `paceline plugin build` or `cargo component build`")]
    CoreModule,
    /// The bytes do not compile.
    #[error("this is not a valid component")]
    Invalid(#[source] Box<dyn Error + Send + Sync>),
    /// It uses the asynchronous functions of the component model. In plugins only JavaScript's tools do that.
    #[error(
        "it uses asynchronous functions of the component model, which the sandbox does not have: build it with `paceline plugin \
         build`, or with `jco componentize` and `{QJS_OPTIONS}`"
    )]
    Async(#[source] Box<dyn Error + Send + Sync>),
    /// An instance of it would consist of more parts than it may have.
    #[error("an instance of it has {} {parts}, those of nested components included; {most} are allowed", count(*found))]
    TooManyParts {
        /// What the parts are.
        parts: &'static str,
        /// How many it has; `u64::MAX` if they can't be counted.
        found: u64,
        /// How many it may have.
        most: u32,
    },
    /// It imports what a plugin may not have.
    #[error(
        "it imports `{import}`: a plugin may import only `{CONTRACT}/settings` and `{CONTRACT}/log`{}",
        advice(import, *language)
    )]
    Import {
        /// What it imports.
        import: String,
        /// The language that it was written in.
        language: Language,
    },
    /// An import has another type than the contract gives it.
    #[error("an import has another type than in the contract ({CONTRACT_HERE})")]
    ImportType(#[source] Box<dyn Error + Send + Sync>),
    /// It was built for another version of the contract; the name of one such interface is given.
    #[error(
        "it was built for `{0}`: build it for version {CONTRACT_VERSION} of `{CONTRACT}`, which this host implements"
    )]
    Version(String),
    /// There is nothing in it that could be called.
    #[error("it has no code: a WIT package in its binary form is the contract, and not a plugin")]
    NoCode,
    /// It exports no interface of the contract; what it exports is given.
    #[error(
        "it exports none of `{CONTRACT}/validation`, `/scoring` and `/aggregation` in version {CONTRACT_VERSION}; it \
         exports: {0}; in Rust, src/lib.rs ends with `scorer!(RULE);` or the macro of another role; {CONTRACT_HERE}"
    )]
    NoRole(String),
    /// It is a plugin, but not one for this role.
    #[error("it is not {}: it does not export `{CONTRACT}/{}@{CONTRACT_VERSION}`", with_article(*.0), .0.interface())]
    WrongRole(Role),
    /// It exports an interface without one of its functions.
    #[error("it does not export `{0}`: {CONTRACT_HERE}")]
    MissingExport(String),
    /// An exported function has another type than the contract gives it.
    #[error("its export `{export}` has another type than in the contract ({CONTRACT_HERE})")]
    ExportType {
        /// The function, with its interface.
        export: String,
        /// The difference.
        source: Box<dyn Error + Send + Sync>,
    },
    /// It has a setting that `describe` did not ask for.
    #[error("its `describe` asks for no setting `{name}`; it asks for: {asked}")]
    UnreadSetting {
        /// The setting that it is given.
        name: String,
        /// Those that it asks for.
        asked: String,
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
    /// Whether a later attempt may succeed with the same bytes: the sandbox is to blame, not the component.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Engine(error) => error.is_transient(),
            Self::Migration(error) => error.is_transient(),
            _ => false,
        }
    }

    /// The refusal of a component that plays no role, by what it exports.
    pub(crate) fn no_role(exports: &[String], has_code: bool) -> Self {
        if !has_code {
            return Self::NoCode;
        }
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

fn count(found: u64) -> String {
    match found {
        u64::MAX => "an unknown number of".to_owned(),
        found => found.to_string(),
    }
}

/// How a plugin is built without WASI.
fn advice(import: &str, language: Language) -> String {
    if !import.starts_with("wasi:") {
        return String::new();
    }
    let tool = match language {
        Language::Compiled => {
            "`cargo component build --release --target wasm32-unknown-unknown`: that target has no WASI".to_owned()
        }
        Language::JavaScript => {
            format!("`jco componentize` and `{QJS_OPTIONS}`, or `componentize-js` and `{STARLING_OPTIONS}`")
        }
        Language::Python => "`componentize-py componentize` and `--stub-wasi`".to_owned(),
    };
    format!("; a plugin has no WASI: build it with `paceline plugin build`, or with {tool}")
}

fn with_article(role: Role) -> &'static str {
    match role {
        Role::Validator => "a validator",
        Role::Scorer => "a scorer",
        Role::Aggregator => "an aggregator",
    }
}
