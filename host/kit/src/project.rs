//! A plugin's project: a folder with `plugin.toml`, a rule, sample events and what the rule gives for them.

mod create;
mod name;
mod sdk;
mod templates;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use paceline_engine::{PluginLimits, Role};
use paceline_pipeline::rules::{TomlError, parse_toml};
use serde::{Deserialize, Deserializer};

pub use create::{CreateError, NewProject};
pub use name::NameError;
pub use sdk::SdkError;

/// The project file's name.
pub const FILE: &str = "plugin.toml";

/// A plugin's project, as its file describes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Project {
    /// The plugin's name, and that of its component's file.
    pub name: String,
    /// Its role.
    pub kind: Kind,
    /// The language of its source.
    pub language: Language,
    /// The settings that its tests run with, as in a rulebook.
    #[serde(default, deserialize_with = "settings")]
    pub settings: BTreeMap<String, String>,
    /// The limits that its tests run with, as in a rulebook.
    #[serde(default)]
    pub limits: PluginLimits,
    /// Its tests.
    #[serde(default)]
    pub test: Test,
    /// The project's folder.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// The tests of a project. Files are relative to its folder.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Test {
    /// Sample events, one JSON object a line, as in the stream.
    pub events: PathBuf,
    /// What the plugin gives for them: one line for each record, or, of an aggregator, for each group.
    pub expect: PathBuf,
    /// A JSON Pointer to the member that names a record's group. Only aggregators have groups.
    pub group: Option<String>,
    /// A JSON Pointer to a record's score; without it, an aggregator gets 0. Only aggregators get scores.
    pub score: Option<String>,
}

impl Default for Test {
    fn default() -> Self {
        Self { events: "events.ndjson".into(), expect: "expected.ndjson".into(), group: None, score: None }
    }
}

/// The settings as a rulebook has them: texts, numbers and booleans, each passed as a text.
fn settings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let given = BTreeMap::<String, toml::Value>::deserialize(deserializer)?;
    let text = |(name, value): (String, toml::Value)| match value {
        toml::Value::String(text) => Ok((name, text)),
        toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) => Ok((name, value.to_string())),
        _ => Err(serde::de::Error::custom(format!("setting `{name}` is not a text, a number or a boolean"))),
    };
    given.into_iter().map(text).collect()
}

/// The folder is not a project.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// It has no project file.
    #[error("{0}: there is no {FILE}: `paceline plugin new NAME --kind scorer` makes a project")]
    Missing(PathBuf),
    /// Its file can't be read.
    #[error("{0}: it can't be read")]
    Read(PathBuf, #[source] io::Error),
    /// Its file has an error.
    #[error("{}", .0.display())]
    Parse(PathBuf, #[source] TomlError),
}

impl Project {
    /// Reads the project file in a folder.
    pub fn open(folder: &Path) -> Result<Self, ProjectError> {
        let file = folder.join(FILE);
        let text = std::fs::read_to_string(&file).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ProjectError::Missing(folder.to_owned()),
            _ => ProjectError::Read(file.clone(), error),
        })?;
        let project: Self = parse_toml(&text).map_err(|error| ProjectError::Parse(file, error))?;
        Ok(Self { folder: folder.to_owned(), ..project })
    }

    /// The file of the sample events.
    pub fn events(&self) -> PathBuf {
        self.folder.join(&self.test.events)
    }

    /// The file of what the plugin gives for them.
    pub fn expected(&self) -> PathBuf {
        self.folder.join(&self.test.expect)
    }
}

impl From<Role> for Kind {
    fn from(role: Role) -> Self {
        match role {
            Role::Validator => Self::Validator,
            Role::Scorer => Self::Scorer,
            Role::Aggregator => Self::Aggregator,
        }
    }
}

impl From<Kind> for Role {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Validator => Self::Validator,
            Kind::Scorer => Self::Scorer,
            Kind::Aggregator => Self::Aggregator,
        }
    }
}

/// Declares an enumeration with the names that project files and arguments use.
macro_rules! named {
    ($(#[$attribute:meta])* $type:ident, $error:ident, $what:literal: $($(#[$variant_attribute:meta])* $variant:ident $text:literal)*) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $type {
            $($(#[$variant_attribute])* $variant,)*
        }

        impl $type {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name in project files and arguments.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        #[doc = concat!("The text names no [`", stringify!($type), "`].")]
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
        #[error("no such {}; there are: {}", $what, [$($text),*].join(", "))]
        pub struct $error;

        impl FromStr for $type {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, $error> {
                Self::ALL.iter().copied().find(|it| it.as_str() == text).ok_or($error)
            }
        }
    };
}

named! {
    /// What a plugin does with records.
    Kind, UnknownKind, "kind":
    /// Gives each record a number.
    Scorer "scorer"
    /// Rejects records.
    Validator "validator"
    /// Folds records into the states of groups.
    Aggregator "aggregator"
}

named! {
    /// The language of a plugin's source.
    Language, UnknownLanguage, "language":
    /// Rust, built by cargo.
    Rust "rust"
    #[serde(rename = "javascript")]
    /// JavaScript, built by jco with QuickJS.
    JavaScript "javascript"
    /// Python, built by componentize-py with CPython.
    Python "python"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(text: &str) -> Result<Project, ProjectError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), text).unwrap();
        Project::open(folder.path())
    }

    #[test]
    fn what_a_project_file_leaves_out_is_the_default() {
        let project = open("name = \"power\"\nkind = \"scorer\"\nlanguage = \"javascript\"\n").unwrap();
        assert_eq!((project.kind, project.language), (Kind::Scorer, Language::JavaScript));
        assert_eq!(project.test, Test::default());
        assert_eq!(project.events(), project.folder.join("events.ndjson"));
        assert!(project.settings.is_empty());
    }

    #[test]
    fn settings_are_texts_as_in_a_rulebook() {
        let head = "name = \"power\"\nkind = \"scorer\"\nlanguage = \"rust\"\n[settings]\n";
        let project = open(&format!("{head}max-cadence = 120\nunit = \"W\"\nstrict = true\nfactor = 1.5\n")).unwrap();
        let expected = [("factor", "1.5"), ("max-cadence", "120"), ("strict", "true"), ("unit", "W")];
        assert!(project.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(expected));
        let error = open(&format!("{head}many = [1]\n")).unwrap_err();
        let ProjectError::Parse(_, source) = error else { panic!("{error}") };
        assert!(source.to_string().contains("setting `many` is not a text, a number or a boolean"), "{source}");
    }

    #[test]
    fn limits_are_those_that_a_rulebook_may_set() {
        let head = "name = \"power\"\nkind = \"scorer\"\nlanguage = \"rust\"\n[limits]\n";
        let limits = open(&format!("{head}fuel-per-row = 40_000\n")).unwrap().limits;
        assert_eq!(limits, PluginLimits { fuel_per_row: Some(40_000), ..PluginLimits::default() });
        let error = open(&format!("{head}log-lines = 1\n")).unwrap_err();
        let ProjectError::Parse(_, source) = error else { panic!("{error}") };
        assert!(source.to_string().contains("unknown field `log-lines`, expected one of `memory-bytes`"), "{source}");
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let error = open("name = \"power\"\nkind = \"scorer\"\nlanguage = \"rust\"\nversion = 1\n").unwrap_err();
        let ProjectError::Parse(_, source) = error else { panic!("{error}") };
        assert!(source.to_string().contains("unknown field `version`"), "{source}");
    }

    #[test]
    fn a_folder_without_the_file_is_no_project() {
        let folder = tempfile::tempdir().unwrap();
        let error = Project::open(folder.path()).unwrap_err().to_string();
        assert!(error.ends_with("there is no plugin.toml: `paceline plugin new NAME --kind scorer` makes a project"));
    }

    #[test]
    fn the_names_in_files_are_those_of_arguments() {
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
            assert_eq!(toml::Value::try_from(kind.as_str()).unwrap().try_into::<Kind>().unwrap(), *kind);
        }
        for language in Language::ALL {
            assert_eq!(language.as_str().parse(), Ok(*language));
            assert_eq!(toml::Value::try_from(language.as_str()).unwrap().try_into::<Language>().unwrap(), *language);
        }
        assert_eq!(
            "judge".parse::<Kind>().unwrap_err().to_string(),
            "no such kind; there are: scorer, validator, aggregator"
        );
    }
}
