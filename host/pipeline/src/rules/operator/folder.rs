//! A folder of rulebooks as the wanted rules: its `rules.toml` maps race types to rulebooks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use paceline_engine::Engine;
use serde::Deserialize;

use super::change::Request;
use super::prepare::{PluginFiles, Prepared, RemotePlugins, prepare, remote_plugins};
use super::samples;
use crate::rules::error::RulebookError;
use crate::rules::registry::Registry;
use crate::rules::routing::Rules;
use crate::rules::toml_error::{self, TomlError};

/// The file that maps race types to rulebooks.
const RULES: &str = "rules.toml";

/// A folder of rulebooks.
#[derive(Debug)]
pub struct RulesFolder {
    folder: PathBuf,
    document: Document,
}

/// The document `rules.toml`. Paths are relative to its folder.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Document {
    /// The rulebook's file of each race type.
    race_types: BTreeMap<String, PathBuf>,
    /// The files of plugin names, and `folder` for a folder with a file for each other name.
    #[serde(default)]
    plugins: Plugins,
}

#[derive(Debug, Default, Deserialize)]
struct Plugins {
    folder: Option<PathBuf>,
    #[serde(flatten)]
    named: BTreeMap<String, PathBuf>,
}

/// A folder can't be applied. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder has no `rules.toml`.
    #[error("{}: a folder of rulebooks has a rules.toml, which names the rulebook of each race type", .0.display())]
    Missing(PathBuf),
    /// It is a file.
    #[error("{} is a file: `apply` takes a folder with a rules.toml, `publish` a rulebook", .0.display())]
    NoFolder(PathBuf),
    /// The folder's `rules.toml` can't be read.
    #[error("{}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The document is not TOML, or has unknown keys or values.
    #[error("{}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// The line, and what is wrong.
        source: TomlError,
    },
    /// The document maps nothing. An empty folder is more likely a mistake than the wish to retire everything.
    #[error("{} maps no race type: to retire one, use `paceline rules retire`", .0.display())]
    Empty(PathBuf),
    /// A rulebook is refused.
    #[error("the rulebook of race type {race_type}, {}", file.display())]
    Rulebook {
        /// The race type.
        race_type: String,
        /// The rulebook's file.
        file: PathBuf,
        /// The cause.
        source: Box<RulebookError>,
    },
}

impl RulesFolder {
    /// Reads the folder's `rules.toml`.
    pub fn read(folder: &Path) -> Result<Self, FolderError> {
        let path = folder.join(RULES);
        let text = fs::read_to_string(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => FolderError::Missing(path.clone()),
            io::ErrorKind::NotADirectory => FolderError::NoFolder(folder.to_owned()),
            _ => FolderError::Io { path: path.clone(), source },
        })?;
        let document: Document =
            toml_error::parse(&text).map_err(|source| FolderError::Toml { path: path.clone(), source })?;
        match document.race_types.is_empty() {
            true => Err(FolderError::Empty(path)),
            false => Ok(Self { folder: folder.to_owned(), document }),
        }
    }

    /// Every file that the folder's rules are made from, as far as they are known before plugins are resolved.
    pub fn files(&self) -> Vec<PathBuf> {
        let Plugins { folder, named } = &self.document.plugins;
        let mut files: Vec<PathBuf> = vec![self.folder.join(RULES)];
        for file in self.document.race_types.values().map(|file| self.folder.join(file)) {
            files.extend([samples::file_beside(&file), file]);
        }
        files.extend(named.values().map(|file| self.folder.join(file)));
        if let Some(folder) = folder {
            let entries = fs::read_dir(self.folder.join(folder)).into_iter().flatten().flatten();
            files.extend(entries.map(|entry| entry.path()));
        }
        files.sort();
        files.dedup();
        files
    }

    /// The references into OCI registries with which its rulebooks name plugins.
    pub fn remote_plugins(&self) -> BTreeSet<String> {
        self.document.race_types.values().flat_map(|file| remote_plugins(&self.folder.join(file))).collect()
    }

    /// The rulebooks of the race types, prepared. Race types of one file share a rulebook. `remote` has what
    /// [`Self::remote_plugins`] names.
    pub async fn prepare(
        &self,
        engine: &Engine,
        registry: &Registry,
        remote: RemotePlugins,
    ) -> Result<BTreeMap<String, Prepared>, FolderError> {
        let Plugins { folder, named } = &self.document.plugins;
        let files = PluginFiles {
            named: named.iter().map(|(name, file)| (name.clone(), self.folder.join(file))).collect(),
            folder: folder.as_ref().map(|folder| self.folder.join(folder)),
            remote,
        };
        let mut by_file: BTreeMap<&Path, Prepared> = BTreeMap::new();
        let mut prepared = BTreeMap::new();
        for (race_type, file) in &self.document.race_types {
            if !by_file.contains_key(&**file) {
                let path = self.folder.join(file);
                let refused = |source| {
                    let (race_type, file) = (race_type.clone(), path.clone());
                    FolderError::Rulebook { race_type, file, source: Box::new(source) }
                };
                by_file.insert(file, prepare(engine, registry, &path, &files).await.map_err(refused)?);
            }
            prepared.insert(race_type.clone(), by_file[&**file].clone());
        }
        Ok(prepared)
    }

    /// What has to change so that the rules are those of the folder. Race types that it does not map are retired.
    pub fn requests<'a>(prepared: &'a BTreeMap<String, Prepared>, now: &Rules) -> Vec<Request<'a>> {
        let mut requests: Vec<Request<'a>> = prepared.values().map(Request::Publish).collect();
        requests.extend(prepared.iter().map(|(race_type, prepared)| Request::Activate {
            race_type: race_type.clone(),
            rulebook: prepared.digest,
            now: false,
        }));
        let retired = now
            .routing
            .iter()
            .filter(|(race_type, routing)| routing.current.is_some() && !prepared.contains_key(*race_type));
        requests.extend(retired.map(|(race_type, _)| Request::Retire { race_type: race_type.clone() }));
        requests
    }
}
