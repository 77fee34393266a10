//! Rulebooks and plugins that were ever active, in a folder: `plugins/<sha256>.wasm` and
//! `rulebooks/<race type>/<version>.toml`. Nothing in it changes, so that a race in progress finds the rulebook that it
//! began with after any restart.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use paceline_engine::Digest;

use super::document::Rulebook;
use super::error::RulebookError;

/// Rulebooks and plugins by version and digest, in a folder.
#[derive(Clone, Debug)]
pub struct Registry {
    folder: PathBuf,
}

impl Registry {
    /// Opens the registry in this folder, or creates it.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder.join("plugins"))?;
        fs::create_dir_all(folder.join("rulebooks"))?;
        Ok(Self { folder: folder.to_owned() })
    }

    fn plugin_path(&self, digest: Digest) -> PathBuf {
        self.folder.join("plugins").join(format!("{}.wasm", digest.hex()))
    }

    pub(super) fn rulebook_path(&self, race_type: &str, version: u64) -> PathBuf {
        self.folder.join("rulebooks").join(race_type).join(format!("{version}.toml"))
    }

    /// A plugin's bytes, verified against their digest.
    pub fn plugin(&self, digest: Digest) -> Result<Vec<u8>, RulebookError> {
        let path = self.plugin_path(digest);
        let bytes = fs::read(&path).map_err(|error| RulebookError::io(&path, error))?;
        match Digest::of(&bytes) == digest {
            true => Ok(bytes),
            false => Err(RulebookError::MissingPlugin(format!(
                "{} was changed: the digest of its bytes is {}",
                path.display(),
                Digest::of(&bytes)
            ))),
        }
    }

    /// Adds a plugin.
    pub fn add_plugin(&self, bytes: &[u8]) -> Result<Digest, RulebookError> {
        let digest = Digest::of(bytes);
        let path = self.plugin_path(digest);
        if self.plugin(digest).is_err() {
            write_atomically(&path, bytes).map_err(|error| RulebookError::io(&path, error))?;
        }
        Ok(digest)
    }

    /// The rulebook of this version, if it was added.
    pub fn rulebook(&self, race_type: &str, version: u64) -> Result<Option<Rulebook>, RulebookError> {
        let path = self.rulebook_path(race_type, version);
        match fs::read_to_string(&path) {
            Ok(text) => match Rulebook::parse(&text) {
                Ok(document) => Ok(Some(document)),
                Err(source) => Err(RulebookError::InvalidFile { path, source }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(RulebookError::io(&path, error)),
        }
    }

    /// Adds a rulebook whose plugins are named by digests. One that was added before must not differ.
    pub fn add_rulebook(&self, document: &Rulebook) -> Result<(), RulebookError> {
        let path = self.rulebook_path(&document.race_type, document.version);
        if let Some(before) = self.rulebook(&document.race_type, document.version)? {
            return match before == *document {
                true => Ok(()),
                false => Err(RulebookError::Incompatible(format!(
                    "race type {}, version {} was in use with other content or other plugins (see {}): a rulebook in \
                     use never changes; give this one a greater `version`",
                    document.race_type,
                    document.version,
                    path.display()
                ))),
            };
        }
        write_atomically(&path, document.to_toml().as_bytes()).map_err(|error| RulebookError::io(&path, error))
    }
}

/// Writes a file so that, whatever happens, it is there whole or not at all.
fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = fs::File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&new, path)?;
    fs::File::open(folder)?.sync_all()
}
