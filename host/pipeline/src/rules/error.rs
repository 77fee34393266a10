//! Why a rulebook is refused, or the registry can't be used.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use paceline_engine::{Digest, LoadError};

use super::head_error::HeadError;
use super::toml_error::TomlError;

/// The text is not a rulebook.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRulebook {
    /// It is not TOML, or has unknown keys or values.
    #[error(transparent)]
    Toml(#[from] TomlError),
    /// A value is not allowed.
    #[error("{0}")]
    Value(String),
}

/// The registry can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The folder can't be created or opened.
    #[error("the registry {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// An object can't be read, listed or written. A later attempt may succeed.
    #[error("can't {verb} {object} in the registry {location}")]
    Unavailable {
        /// The registry.
        location: String,
        /// The object.
        object: String,
        /// What was attempted.
        verb: &'static str,
        /// The cause.
        source: Box<object_store::Error>,
    },
    /// An object that another one names is not there.
    #[error("the registry {location} has no {object}: put the object back from a copy of the registry")]
    Missing {
        /// The registry.
        location: String,
        /// The object.
        object: String,
    },
    /// The bytes of an object are not those that its name promises.
    #[error("{object} in the registry {location} was changed: the digest of its bytes is {found}")]
    Altered {
        /// The registry.
        location: String,
        /// The object.
        object: String,
        /// The digest of its bytes.
        found: Digest,
    },
    /// An object is not what it should be.
    #[error("{object} in the registry {location}: {why}")]
    Invalid {
        /// The registry.
        location: String,
        /// The object.
        object: String,
        /// What is wrong with it.
        why: String,
    },
    /// The log does not agree with the store's head item, or that can't be read: nothing is taken over.
    #[error(transparent)]
    Head(Box<HeadError>),
}

impl RegistryError {
    /// Whether a later attempt may succeed without intervention.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Head(error) => error.is_transient(),
            _ => false,
        }
    }
}

impl From<HeadError> for RegistryError {
    fn from(error: HeadError) -> Self {
        Self::Head(Box::new(error))
    }
}

/// What is wrong with a sample event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// The line is not JSON, or has unknown members or values.
    #[error("the line is not a sample: {0}")]
    Invalid(String),
    /// The rulebook gives something else.
    #[error("expected {expected}, found {found}{}", more(*others))]
    Unexpected {
        /// What the sample expects.
        expected: String,
        /// What the rulebook gives.
        found: String,
        /// How many other samples differ.
        others: usize,
    },
}

fn more(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => "; another sample differs, too".to_owned(),
        _ => format!("; {count} other samples differ, too"),
    }
}

/// A rulebook is refused. The rulebooks that were active stay active.
#[derive(Debug, thiserror::Error)]
pub enum RulebookError {
    /// The text is not a rulebook.
    #[error(transparent)]
    Invalid(#[from] InvalidRulebook),
    /// The registry can't provide it or its plugins.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The rulebook's file can't be read.
    #[error("the file can't be read")]
    Unreadable(#[source] io::Error),
    /// A file or folder can't be read or written.
    #[error("{}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file of a named plugin can't be read.
    #[error("plugin `{name}`: {}", path.display())]
    PluginFile {
        /// The plugin's name.
        name: String,
        /// Its file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A sample event did not give what is expected of it, or the line is no sample.
    #[error("{}:{line}", path.display())]
    Sample {
        /// The file of the samples.
        path: PathBuf,
        /// The line; the first is 1.
        line: usize,
        /// What is wrong.
        source: SampleError,
    },
    /// The sample events can't be run.
    #[error("{}: the samples can't be run", path.display())]
    Samples {
        /// The file of the samples.
        path: PathBuf,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A plugin is refused.
    #[error("{plugin} is refused")]
    Plugin {
        /// The plugin's role and its name or digest.
        plugin: String,
        /// The cause.
        source: LoadError,
    },
    /// The log does not name the rulebook.
    #[error(
        "the log of the rules names no rulebook {0}: use the registry of the hosts that began the race, or repin the race"
    )]
    Unlisted(Digest),
    /// It was refused before, for this reason.
    #[error("{0}")]
    Refused(String),
    /// The rulebook names a plugin that is not available.
    #[error("{0}")]
    MissingPlugin(String),
    /// The rulebook does not fit its plugins.
    #[error("{0}")]
    Mismatch(String),
    /// The rulebook does not fit what is in use already.
    #[error("{0}")]
    Incompatible(String),
}

impl RulebookError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    /// Whether a later attempt may succeed without intervention.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Registry(error) => error.is_transient(),
            Self::Plugin { source, .. } => source.is_transient(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use paceline_engine::EngineError;

    use super::*;

    #[test]
    fn a_plugin_is_tried_again_only_where_the_sandbox_is_to_blame() {
        let is_transient = |source| RulebookError::Plugin { plugin: "scorer output".to_owned(), source }.is_transient();
        let full = || LoadError::Engine(EngineError::Run("the pool is full".into()));
        assert!(is_transient(full()));
        assert!(is_transient(LoadError::Migration(Box::new(full()))));
        assert!(!is_transient(LoadError::NoCode));
        assert!(!is_transient(LoadError::Migration(Box::new(LoadError::NoCode))));
    }
}
