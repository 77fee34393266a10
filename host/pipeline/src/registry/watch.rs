//! The folder of rulebooks that people edit, and what changes in it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use paceline_engine::Digest;

use super::Rulebooks;
use crate::rulebook::Rulebook;

/// Something that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
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
    /// A file was refused. What was active before goes on.
    Refused {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
}

/// A folder of rulebooks: of each race type the one with the greatest version is active.
///
/// It is looked at, not listened to: that works on every file system, with every way to put a file there.
#[derive(Debug)]
pub struct Watch {
    folder: PathBuf,
    plugins: BTreeMap<String, PathBuf>,
    rulebooks: Arc<Rulebooks>,
    /// What each file held when it was looked at last.
    seen: HashMap<PathBuf, Seen>,
    /// The version of each race type that is active by this folder.
    active: BTreeMap<String, u64>,
    /// What was tried last for each race type, whether it was refused or not: the file and its content.
    tried: BTreeMap<String, (PathBuf, Digest)>,
    /// The files of earlier versions that were put into the registry.
    kept: HashSet<Digest>,
}

#[derive(Debug)]
struct Seen {
    bytes: Digest,
    /// The rulebook, where the file is one.
    book: Option<Rulebook>,
}

impl Watch {
    /// Watches a folder. `plugins` are the files that plugin names stand for.
    pub fn new(folder: PathBuf, plugins: BTreeMap<String, PathBuf>, rulebooks: Arc<Rulebooks>) -> Self {
        Self {
            folder,
            plugins,
            rulebooks,
            seen: HashMap::new(),
            active: BTreeMap::new(),
            tried: BTreeMap::new(),
            kept: HashSet::new(),
        }
    }

    /// Looks at the folder and takes over what is new. An error means that the folder itself can't be read.
    pub fn poll(&mut self) -> Result<Vec<Event>, String> {
        let mut events = Vec::new();
        let files = files(&self.folder)?;
        let mut changed = self.seen.keys().any(|file| !files.contains(file));
        self.seen.retain(|file, _| files.contains(file));
        for file in &files {
            let text = match fs::read(file) {
                Ok(text) => text,
                // Taken away between the listing and now: the next look will tell.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    events.push(Event::Refused { file: file.clone(), reason: error.to_string() });
                    continue;
                }
            };
            let bytes = Digest::of(&text);
            if self.seen.get(file).is_some_and(|seen| seen.bytes == bytes) {
                continue;
            }
            changed = true;
            let book = std::str::from_utf8(&text).map_err(|error| error.to_string()).and_then(Rulebook::parse);
            let book = match book {
                Ok(book) => Some(book),
                Err(reason) => {
                    events.push(Event::Refused { file: file.clone(), reason });
                    None
                }
            };
            self.seen.insert(file.clone(), Seen { bytes, book });
        }
        if changed {
            self.take_over(&mut events);
        }
        Ok(events)
    }

    fn take_over(&mut self, events: &mut Vec<Event>) {
        // Of each race type the file with the greatest version.
        let mut best: BTreeMap<String, (u64, PathBuf)> = BTreeMap::new();
        let mut files: Vec<_> = self.seen.iter().filter_map(|(file, seen)| Some((file, seen.book.as_ref()?))).collect();
        files.sort_by_key(|(file, _)| file.as_path());
        for (file, book) in files {
            let entry = best.entry(book.race_type.clone());
            match entry {
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert((book.version, file.clone()));
                }
                std::collections::btree_map::Entry::Occupied(mut entry) => {
                    let (version, other) = entry.get();
                    if book.version == *version {
                        let reason = format!(
                            "race type {} has version {version} in {} already",
                            book.race_type,
                            other.display()
                        );
                        events.push(Event::Refused { file: file.clone(), reason });
                    } else if book.version > *version {
                        entry.insert((book.version, file.clone()));
                    }
                }
            }
        }
        // Earlier versions are kept for the races that began with them, wherever that was.
        for (file, seen) in &self.seen {
            let Some(book) = &seen.book else { continue };
            if best.get(&book.race_type).is_some_and(|(version, _)| book.version < *version)
                && !self.kept.contains(&seen.bytes)
            {
                let kept = book.resolved(|name| resolve(&self.plugins, &self.rulebooks, name));
                if let Err(reason) = kept.and_then(|book| self.rulebooks.registry().add_rulebook(&book)) {
                    events.push(Event::Refused { file: file.clone(), reason });
                }
                self.kept.insert(seen.bytes);
            }
        }
        for (race_type, (version, file)) in &best {
            let Some(Seen { bytes, book: Some(book) }) = self.seen.get(file) else { continue };
            let now = (file.clone(), *bytes);
            if self.tried.get(race_type) == Some(&now) {
                continue;
            }
            self.tried.insert(race_type.clone(), now);
            let activated = book
                .resolved(|name| resolve(&self.plugins, &self.rulebooks, name))
                .and_then(|book| self.rulebooks.activate(&book));
            match activated {
                Ok(()) if self.active.get(race_type) == Some(version) => {}
                Ok(()) => {
                    self.active.insert(race_type.clone(), *version);
                    events.push(Event::Activated { race_type: race_type.clone(), version: *version });
                }
                Err(reason) => events.push(Event::Refused { file: file.clone(), reason }),
            }
        }
        // A race type goes only when no file names it any more: a file that is broken for now does not end it.
        let broken = self.seen.values().any(|seen| seen.book.is_none());
        let gone: Vec<_> = self.active.keys().filter(|race_type| !best.contains_key(*race_type)).cloned().collect();
        for race_type in gone {
            if !broken {
                self.active.remove(&race_type);
                self.tried.remove(&race_type);
                self.rulebooks.retire(&race_type);
                events.push(Event::Retired { race_type });
            }
        }
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let entries = entries.map_err(|error| format!("the folder of rulebooks {}: {error}", folder.display()))?;
    let mut files: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    Ok(files)
}

/// A plugin's name to its digest: the file that the name stands for goes into the registry.
fn resolve(plugins: &BTreeMap<String, PathBuf>, rulebooks: &Rulebooks, name: &str) -> Result<Digest, String> {
    if name.starts_with("sha256:") {
        return name.parse().map_err(|error| format!("plugin `{name}`: {error}"));
    }
    let file = plugins.get(name).ok_or_else(|| {
        let known: Vec<_> = plugins.keys().map(String::as_str).collect();
        let nearest =
            known.iter().max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
        let advice = nearest.map_or(String::new(), |nearest| format!("; did you mean `{nearest}`?"));
        format!("there is no plugin `{name}` in the configuration's [plugins]{advice}")
    })?;
    let bytes = fs::read(file).map_err(|error| format!("plugin `{name}`: {}: {error}", file.display()))?;
    rulebooks.registry().add_plugin(&bytes)
}
