//! Registry: the rulebooks and plugins in use, by version and digest, and their change while the stream flows.
//!
//! A [`Registry`] is a folder: `plugins/<sha256>.wasm` and `rulebooks/<race type>/<version>.toml`. What was once in use
//! stays there, unchanged, so that a race in progress finds the rulebook that it began with after any restart.
//! [`Rulebooks`] holds what is loaded; a [`Watch`] brings in what changes in a folder that people edit.

mod watch;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use paceline_engine::{Component, Digest, Engine};

use crate::pointer::Pointer;
use crate::project::{Projection, FieldIndex};
use crate::rulebook::{AggregateUse, DedupRule, Rulebook};
use crate::rulebook::{BoundRulebook, LoadedRulebook};
use crate::store::Pin;

pub use watch::{Event, Watch};

/// Rulebooks and plugins by version and digest, in a folder.
#[derive(Clone, Debug)]
pub struct Registry {
    folder: PathBuf,
}

impl Registry {
    /// The registry in this folder; it is made where there is none.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder.join("plugins"))?;
        fs::create_dir_all(folder.join("rulebooks"))?;
        Ok(Self { folder: folder.to_owned() })
    }

    fn plugin_path(&self, digest: Digest) -> PathBuf {
        self.folder.join("plugins").join(format!("{}.wasm", digest.hex()))
    }

    fn rulebook_path(&self, race_type: &str, version: u64) -> PathBuf {
        self.folder.join("rulebooks").join(race_type).join(format!("{version}.toml"))
    }

    /// A plugin's bytes; they are what their digest says.
    pub fn plugin(&self, digest: Digest) -> Result<Vec<u8>, String> {
        let path = self.plugin_path(digest);
        let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        match Digest::of(&bytes) == digest {
            true => Ok(bytes),
            false => Err(format!("{} was changed: its bytes are {}", path.display(), Digest::of(&bytes))),
        }
    }

    /// Keeps a plugin.
    pub fn add_plugin(&self, bytes: &[u8]) -> Result<Digest, String> {
        let digest = Digest::of(bytes);
        let path = self.plugin_path(digest);
        if self.plugin(digest).is_err() {
            write_whole(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(digest)
    }

    /// A rulebook that was kept.
    pub fn rulebook(&self, race_type: &str, version: u64) -> Result<Option<Rulebook>, String> {
        let path = self.rulebook_path(race_type, version);
        match fs::read_to_string(&path) {
            Ok(text) => Rulebook::parse(&text).map(Some).map_err(|error| format!("{}: {error}", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    /// Keeps a rulebook whose plugins are named by digests. One that was kept before does not change.
    pub fn add_rulebook(&self, book: &Rulebook) -> Result<(), String> {
        if let Some(before) = self.rulebook(&book.race_type, book.version)? {
            return match before == *book {
                true => Ok(()),
                false => Err(format!(
                    "race type {}, version {} was in use with other content or other plugins (it is kept in {}): a \
                     rulebook in use never changes; give this one a greater `version`",
                    book.race_type,
                    book.version,
                    self.rulebook_path(&book.race_type, book.version).display()
                )),
            };
        }
        let path = self.rulebook_path(&book.race_type, book.version);
        write_whole(&path, book.to_toml().as_bytes()).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// Writes a file that is there whole or not at all, whatever happens.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
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

/// What records are judged by, as it stood at one moment. A batch goes by one catalog from its first record to its last.
#[derive(Debug)]
pub struct Catalog {
    /// By race type and version.
    plans: HashMap<String, BTreeMap<u64, BoundRulebook>>,
    /// The version that new races of each race type begin with.
    active: HashMap<String, u64>,
    pub(crate) projection: Projection,
    pub(crate) route: FieldIndex,
}

impl Catalog {
    fn new(route: &Pointer, rulebooks: &[Arc<LoadedRulebook>], active: HashMap<String, u64>) -> Self {
        let pointers = rulebooks.iter().flat_map(|rulebook| rulebook.pointers());
        let projection = Projection::new([route].into_iter().chain(pointers));
        let mut plans: HashMap<String, BTreeMap<u64, BoundRulebook>> = HashMap::new();
        for rulebook in rulebooks {
            let plan = BoundRulebook::new(rulebook, &projection);
            plans.entry(rulebook.book.race_type.clone()).or_default().insert(rulebook.book.version, plan);
        }
        Self { plans, active, route: projection.index(route), projection }
    }

    pub(crate) fn plan(&self, race_type: &str, version: u64) -> Option<&BoundRulebook> {
        self.plans.get(race_type)?.get(&version)
    }

    pub(crate) fn active(&self, race_type: &str) -> Option<&BoundRulebook> {
        self.plan(race_type, *self.active.get(race_type)?)
    }

    /// Race type, version and key of the groups that are sequential by sequence.
    pub fn sequence_dedups(&self) -> Vec<(String, u64, String)> {
        let books = self.active.keys().filter_map(|race_type| Some(&self.active(race_type)?.rulebook.book));
        let mut found: Vec<_> = books
            .flat_map(|book| {
                let sequential = book.aggregate.iter().filter(|rule| rule.dedup == DedupRule::Sequence);
                sequential.map(|AggregateUse { key, .. }| {
                    let key = format!("PK = {:?}, SK = {:?}", key.partition, key.sort);
                    (book.race_type.clone(), book.version, key)
                })
            })
            .collect();
        found.sort();
        found
    }

    /// The active version of each race type.
    pub fn versions(&self) -> BTreeMap<String, u64> {
        self.active.iter().map(|(race_type, version)| (race_type.clone(), *version)).collect()
    }
}

/// The rulebooks that are loaded, and which of them new races begin with.
#[derive(Debug)]
pub struct Rulebooks {
    engine: Engine,
    registry: Registry,
    route: Pointer,
    current: RwLock<Arc<Catalog>>,
    /// Held while the catalog is being replaced. Compiled plugins are shared by the rulebooks that name them.
    loaded: Mutex<Loaded>,
}

#[derive(Debug, Default)]
struct Loaded {
    components: HashMap<Digest, Component>,
    rulebooks: Vec<Arc<LoadedRulebook>>,
    active: HashMap<String, u64>,
}

impl Loaded {
    fn find(&self, race_type: &str, version: u64) -> Option<&Arc<LoadedRulebook>> {
        self.rulebooks.iter().find(|rulebook| rulebook.book.race_type == race_type && rulebook.book.version == version)
    }
}

impl Rulebooks {
    /// None yet. `route` is the field that names a record's race type.
    pub fn new(engine: Engine, registry: Registry, route: Pointer) -> Self {
        let catalog = Catalog::new(&route, &[], HashMap::new());
        Self { engine, registry, route, current: RwLock::new(Arc::new(catalog)), loaded: Mutex::default() }
    }

    /// The registry behind it.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What the next batch goes by.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Loads, checks and keeps a rulebook whose plugins are named by digests, and lets new races of its race type begin
    /// with it. A rulebook that is refused changes nothing.
    pub fn activate(&self, book: &Rulebook) -> Result<(), String> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let rulebook = self.load(&mut loaded, book)?;
        let (race_type, version) = (&book.race_type, book.version);
        if let Some(before) = loaded.active.get(race_type).and_then(|version| loaded.find(race_type, *version)) {
            before.may_become(&rulebook)?;
        }
        // Kept before it judges anything: a race that is pinned to it finds it again.
        self.registry.add_rulebook(book)?;
        if loaded.find(race_type, version).is_none() {
            loaded.rulebooks.push(rulebook);
        }
        loaded.active.insert(race_type.clone(), version);
        self.publish(&loaded);
        Ok(())
    }

    /// Takes a race type out: its records become dead letters until it has a rulebook again.
    pub fn retire(&self, race_type: &str) {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.active.remove(race_type);
        self.publish(&loaded);
    }

    /// Brings in the rulebook that a race is pinned to, from the registry.
    pub(crate) fn recall(&self, race_type: &str, pin: Pin) -> Result<(), String> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let version = pin.version;
        if loaded.find(race_type, version).is_none() {
            let found = self.registry.rulebook(race_type, version)?;
            let book = found.ok_or_else(|| {
                format!(
                    "it is not in the registry: put {} back",
                    self.registry.rulebook_path(race_type, version).display()
                )
            })?;
            let rulebook = self.load(&mut loaded, &book)?;
            loaded.rulebooks.push(rulebook);
            self.publish(&loaded);
        }
        match loaded.find(race_type, version) {
            Some(rulebook) if *rulebook.digest.as_bytes() == pin.rulebook => Ok(()),
            _ => Err(format!("the rulebook of that version has another digest than {}", Digest::from(pin.rulebook))),
        }
    }

    fn load(&self, loaded: &mut Loaded, book: &Rulebook) -> Result<Arc<LoadedRulebook>, String> {
        if let Some(rulebook) = loaded.find(&book.race_type, book.version)
            && rulebook.book == *book
        {
            return Ok(Arc::clone(rulebook));
        }
        let plugins = book.validate.iter().chain(&book.score).map(|plugin| &plugin.plugin);
        let mut missing: Vec<Digest> = Vec::new();
        for plugin in plugins.chain(book.aggregate.iter().map(|aggregate| &aggregate.plugin)) {
            let digest: Digest = plugin.parse().map_err(|error| format!("plugin `{plugin}`: {error}"))?;
            if !loaded.components.contains_key(&digest) && !missing.contains(&digest) {
                missing.push(digest);
            }
        }
        // Compiling is most of the work, and nothing that one plugin needs another for.
        let compiled: Vec<Result<(Digest, Component), String>> = std::thread::scope(|scope| {
            let compile = |digest: Digest| {
                let bytes = self.registry.plugin(digest)?;
                let component =
                    self.engine.load(&bytes).map_err(|refusal| format!("plugin {digest} is refused: {refusal}"))?;
                Ok((digest, component))
            };
            let threads: Vec<_> = missing.iter().map(|&digest| scope.spawn(move || compile(digest))).collect();
            threads.into_iter().map(|thread| thread.join().expect("compiling does not panic")).collect()
        });
        for result in compiled {
            let (digest, component) = result?;
            loaded.components.insert(digest, component);
        }
        let components = &loaded.components;
        LoadedRulebook::new(book.clone(), |digest| components.get(&digest).cloned()).map(Arc::new)
    }

    fn publish(&self, loaded: &Loaded) {
        let catalog = Catalog::new(&self.route, &loaded.rulebooks, loaded.active.clone());
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalog);
    }
}
