//! Rulebooks as people name them.

use std::fmt;
use std::str::FromStr;

use anyhow::bail;
use paceline_engine::Digest;
use paceline_pipeline::rules::Rules;

/// `NAME@VERSION`, or a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RulebookName {
    Version(String, u64),
    Digest(Digest),
}

/// The text names no rulebook.
#[derive(Debug, thiserror::Error)]
#[error("a rulebook is NAME@VERSION, such as flat@2, or sha256: and 64 hexadecimal digits")]
pub(crate) struct NotAName;

impl FromStr for RulebookName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        if let Ok(digest) = text.parse() {
            return Ok(Self::Digest(digest));
        }
        let (name, version) = text.rsplit_once('@').ok_or(NotAName)?;
        Ok(Self::Version(name.to_owned(), version.parse().map_err(|_| NotAName)?))
    }
}

impl fmt::Display for RulebookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(name, version) => write!(f, "{name}@{version}"),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl RulebookName {
    /// The digest of the published rulebook.
    pub(crate) fn resolve(&self, rules: &Rules) -> anyhow::Result<Digest> {
        let found = match self {
            Self::Version(name, version) => rules.find(name, *version),
            Self::Digest(digest) => Some(*digest).filter(|digest| rules.rulebooks.contains_key(digest)),
        };
        match found {
            Some(digest) => Ok(digest),
            None => {
                let mut known: Vec<String> = rules
                    .rulebooks
                    .values()
                    .map(|published| format!("{}@{}", published.name, published.version))
                    .collect();
                known.sort();
                bail!("{self} was not published; there are: {}", known.join(", "))
            }
        }
    }
}

/// A rulebook's name and version, or its digest if it is not known.
pub(crate) fn shown(rules: &Rules, digest: Digest) -> String {
    rules.id(digest).map_or_else(|| digest.to_string(), |id| id.to_string())
}
