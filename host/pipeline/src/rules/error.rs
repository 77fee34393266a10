//! Why a rulebook is refused.

use std::io;
use std::path::{Path, PathBuf};

use paceline_engine::LoadError;

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

/// A rulebook is refused. The rulebooks that were active stay active.
#[derive(Debug, thiserror::Error)]
pub enum RulebookError {
    /// The text is not a rulebook.
    #[error(transparent)]
    Invalid(#[from] InvalidRulebook),
    /// The text of a file is not a rulebook.
    #[error("{}", path.display())]
    InvalidFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with its text.
        source: InvalidRulebook,
    },
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
        /// The file that the configuration gives for it.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A plugin is refused.
    #[error("{plugin} is refused")]
    Plugin {
        /// The plugin's role and its name or digest.
        plugin: String,
        /// The cause.
        source: LoadError,
    },
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
}
