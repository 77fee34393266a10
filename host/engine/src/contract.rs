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
    qualified_in(interface, CONTRACT_VERSION)
}

/// The full name of an interface in a version of the contract.
pub(crate) fn qualified_in(interface: &str, version: &str) -> String {
    format!("{CONTRACT}/{interface}@{version}")
}

/// Whether a host of the version `host` runs what was built for `version`: one that differs in the last number at most, and
/// not a newer one. Before 1.0 the second number counts changes that break plugins, and the last one additions.
pub(crate) fn is_compatible(version: &str, host: &str) -> bool {
    fn numbers(version: &str) -> Option<[u64; 3]> {
        let numbers: Option<Vec<u64>> = version.split('.').map(|number| number.parse().ok()).collect();
        numbers?.try_into().ok()
    }
    match (numbers(version), numbers(host)) {
        (Some([major, minor, patch]), Some([host_major, host_minor, host_patch])) => {
            (major, minor) == (host_major, host_minor) && patch <= host_patch
        }
        _ => false,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_built_for_an_older_patch_is_compatible_and_nothing_else_is() {
        for version in ["0.2.0", "0.2.3"] {
            assert!(is_compatible(version, "0.2.3"), "{version}");
        }
        for version in ["0.2.4", "0.1.3", "0.3.0", "1.2.3", "0.2", "0.2.3.1", "0.2.x", "0.2.0-rc.1", ""] {
            assert!(!is_compatible(version, "0.2.3"), "{version}");
        }
    }
}
