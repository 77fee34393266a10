//! The names that `wit/plugin.wit` gives to the package, its interfaces and their functions.

use std::fmt;

/// The package of the contract, without its version.
pub const CONTRACT: &str = "paceline:plugin";

/// The version of the contract that this host implements.
pub const CONTRACT_VERSION: &str = "0.2.0";

/// The interface that an aggregator may export beside `aggregation`: it converts states of other formats.
pub(crate) const MIGRATION: &str = "migration";

/// The full name of an interface: for `settings`, `paceline:plugin/settings@0.2.0`.
pub(crate) fn qualified(interface: &str) -> String {
    format!("{CONTRACT}/{interface}@{CONTRACT_VERSION}")
}

/// Splits `paceline:plugin/settings@0.2.0` into `settings` and `0.2.0`. `None` for a name in another package.
pub(crate) fn split(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(CONTRACT)?.strip_prefix('/')?.split_once('@')
}

/// What a plugin does. Its name is the name of the world that the plugin implements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Rejects records.
    Validator,
    /// Gives each record a number.
    Scorer,
    /// Folds records into the states of groups.
    Aggregator,
}

impl Role {
    pub(crate) const ALL: [Self; 3] = [Self::Validator, Self::Scorer, Self::Aggregator];

    /// The interface that a plugin in this role exports.
    pub fn interface(self) -> &'static str {
        match self {
            Self::Validator => "validation",
            Self::Scorer => "scoring",
            Self::Aggregator => "aggregation",
        }
    }

    /// The functions of that interface.
    pub(crate) fn functions(self) -> &'static [Function] {
        match self {
            Self::Validator => &[Function::Describe, Function::Validate],
            Self::Scorer => &[Function::Describe, Function::Score],
            Self::Aggregator => &[Function::Describe, Function::Fold, Function::Merge, Function::Finish],
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Validator => "validator",
            Self::Scorer => "scorer",
            Self::Aggregator => "aggregator",
        })
    }
}

/// A function of the contract that the host calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Describe,
    Validate,
    Score,
    Fold,
    Merge,
    Finish,
    /// `describe` of the interface `migration`.
    DescribeMigration,
    Migrate,
}

impl Function {
    /// The functions of the interface `migration`.
    pub(crate) const MIGRATION: [Self; 2] = [Self::DescribeMigration, Self::Migrate];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Describe | Self::DescribeMigration => "describe",
            Self::Validate => "validate",
            Self::Score => "score",
            Self::Fold => "fold",
            Self::Merge => "merge",
            Self::Finish => "finish",
            Self::Migrate => "migrate",
        }
    }
}
