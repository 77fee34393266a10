//! The folder of rulebooks that people edit, polled for changes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use paceline_engine::Digest;

use super::document::Rulebook;
use super::error::{InvalidRulebook, RulebookError};
use super::loaded::digest_of;
use super::rulebooks::Rulebooks;

/// A change of the active rulebooks, or a refusal.
#[derive(Debug)]
pub enum RulebookEvent {
    /// New races of a race type begin with this version.
    Activated {
        /// The race type.
        race_type: String,
        /// The version.
        version: u64,
    },
    /// A race type has no rulebook any more.
    Retired {
        /// The race type.
        race_type: String,
    },
    /// A file was refused. The rulebooks that were active stay active.
    Refused {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: RulebookError,
    },
}

/// A folder of rulebooks. For each race type the greatest version is active.
///
/// It is polled: that works on every file system and with every way to write a file.
#[derive(Debug)]
pub struct RulebookFolder {
    folder: PathBuf,
    plugins: BTreeMap<String, PathBuf>,
    rulebooks: Arc<Rulebooks>,
    /// The content of each file at the last poll.
    seen: HashMap<PathBuf, Seen>,
    /// The version of each race type that this folder activated.
    active: BTreeMap<String, u64>,
    /// The file and content that were last tried for each race type, refused or not.
    tried: BTreeMap<String, (PathBuf, Digest)>,
    /// The files of earlier versions that are in the registry.
    registered: HashSet<Digest>,
}

#[derive(Debug)]
struct Seen {
    bytes: Digest,
    /// `None` if the file is not a rulebook.
    document: Option<Rulebook>,
}

impl RulebookFolder {
    /// A folder that was not polled yet. `plugins` maps the plugin names of rulebooks to files.
    pub fn new(folder: PathBuf, plugins: BTreeMap<String, PathBuf>, rulebooks: Arc<Rulebooks>) -> Self {
        Self {
            folder,
            plugins,
            rulebooks,
            seen: HashMap::new(),
            active: BTreeMap::new(),
            tried: BTreeMap::new(),
            registered: HashSet::new(),
        }
    }

    /// Reads the folder and activates what is new. An error means that the folder itself can't be read.
    pub fn poll(&mut self) -> Result<Vec<RulebookEvent>, RulebookError> {
        let mut events = Vec::new();
        let files = files(&self.folder)?;
        let mut changed = self.seen.keys().any(|file| !files.contains(file));
        self.seen.retain(|file, _| files.contains(file));
        for file in &files {
            let text = match fs::read(file) {
                Ok(text) => text,
                // Deleted since the listing: the next poll handles it.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    let reason = RulebookError::io(file, error);
                    events.push(RulebookEvent::Refused { file: file.clone(), reason });
                    continue;
                }
            };
            let bytes = Digest::of(&text);
            if self.seen.get(file).is_some_and(|seen| seen.bytes == bytes) {
                continue;
            }
            changed = true;
            let document = match parse(&text) {
                Ok(document) => Some(document),
                Err(reason) => {
                    let reason = RulebookError::Invalid(reason);
                    events.push(RulebookEvent::Refused { file: file.clone(), reason });
                    None
                }
            };
            self.seen.insert(file.clone(), Seen { bytes, document });
        }
        if changed {
            self.activate_greatest(&mut events);
        }
        Ok(events)
    }

    /// Registers earlier versions, activates the greatest of each race type and retires race types without a file.
    fn activate_greatest(&mut self, events: &mut Vec<RulebookEvent>) {
        let greatest = self.greatest(events);
        self.register_earlier(&greatest, events);
        for (race_type, (version, file)) in &greatest {
            let Some(Seen { bytes, document: Some(document) }) = self.seen.get(file) else { continue };
            let now = (file.clone(), *bytes);
            if self.tried.get(race_type) == Some(&now) {
                continue;
            }
            self.tried.insert(race_type.clone(), now);
            match self.resolved(document).and_then(|document| self.rulebooks.activate(&document)) {
                Ok(()) if self.active.get(race_type) == Some(version) => {}
                Ok(()) => {
                    self.active.insert(race_type.clone(), *version);
                    events.push(RulebookEvent::Activated { race_type: race_type.clone(), version: *version });
                }
                Err(reason) => events.push(RulebookEvent::Refused { file: file.clone(), reason }),
            }
        }
        // A race type is retired only when no file names it any more: a file that is broken for now does not retire it.
        if self.seen.values().any(|seen| seen.document.is_none()) {
            return;
        }
        let gone: Vec<_> = self.active.keys().filter(|race_type| !greatest.contains_key(*race_type)).cloned().collect();
        for race_type in gone {
            self.active.remove(&race_type);
            self.tried.remove(&race_type);
            self.rulebooks.retire(&race_type);
            events.push(RulebookEvent::Retired { race_type });
        }
    }

    /// The greatest version of each race type, and its file.
    fn greatest(&self, events: &mut Vec<RulebookEvent>) -> BTreeMap<String, (u64, PathBuf)> {
        let mut greatest: BTreeMap<String, (u64, PathBuf)> = BTreeMap::new();
        let mut files: Vec<_> =
            self.seen.iter().filter_map(|(file, seen)| Some((file, seen.document.as_ref()?))).collect();
        files.sort_by_key(|(file, _)| file.as_path());
        for (file, document) in files {
            match greatest.get_mut(&document.race_type) {
                None => {
                    greatest.insert(document.race_type.clone(), (document.version, file.clone()));
                }
                Some((version, other)) if document.version == *version => {
                    let reason = RulebookError::Incompatible(format!(
                        "race type {} has version {version} in {} already",
                        document.race_type,
                        other.display()
                    ));
                    events.push(RulebookEvent::Refused { file: file.clone(), reason });
                }
                Some(found) if document.version > found.0 => *found = (document.version, file.clone()),
                Some(_) => {}
            }
        }
        greatest
    }

    /// Registers earlier versions, for races that began with them on any host.
    fn register_earlier(&mut self, greatest: &BTreeMap<String, (u64, PathBuf)>, events: &mut Vec<RulebookEvent>) {
        let mut registered = Vec::new();
        for (file, seen) in &self.seen {
            let Some(document) = &seen.document else { continue };
            let earlier = greatest.get(&document.race_type).is_some_and(|(version, _)| document.version < *version);
            if !earlier || self.registered.contains(&seen.bytes) {
                continue;
            }
            let added = self.resolved(document).and_then(|document| self.rulebooks.registry().add_rulebook(&document));
            if let Err(reason) = added {
                events.push(RulebookEvent::Refused { file: file.clone(), reason });
            }
            registered.push(seen.bytes);
        }
        self.registered.extend(registered);
    }

    /// The rulebook with every plugin named by its digest. Named plugins are added to the registry.
    fn resolved(&self, document: &Rulebook) -> Result<Rulebook, RulebookError> {
        document.resolved(|name| resolve(&self.plugins, &self.rulebooks, name))
    }
}

fn parse(text: &[u8]) -> Result<Rulebook, InvalidRulebook> {
    let text = std::str::from_utf8(text).map_err(|error| InvalidRulebook::Value(error.to_string()))?;
    Rulebook::parse(text)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, RulebookError> {
    let entries = fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let entries = entries.map_err(|error| RulebookError::io(folder, error))?;
    let mut files: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    Ok(files)
}

/// The digest of a named plugin. Its file is added to the registry.
fn resolve(plugins: &BTreeMap<String, PathBuf>, rulebooks: &Rulebooks, name: &str) -> Result<Digest, RulebookError> {
    if name.starts_with("sha256:") {
        return digest_of(name);
    }
    let file = plugins.get(name).ok_or_else(|| {
        let known: Vec<_> = plugins.keys().map(String::as_str).collect();
        let nearest =
            known.iter().max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
        let advice = nearest.map_or(String::new(), |nearest| format!("; did you mean `{nearest}`?"));
        RulebookError::MissingPlugin(format!("there is no plugin `{name}` in the configuration's [plugins]{advice}"))
    })?;
    let bytes = fs::read(file).map_err(|source| RulebookError::PluginFile {
        name: name.to_owned(),
        path: file.clone(),
        source,
    })?;
    rulebooks.registry().add_plugin(&bytes)
}
