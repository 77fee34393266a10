//! Rules for tests: a folder of rulebooks `class-N.toml`, each for race type N, in a registry.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use paceline_engine::{Engine, Limits, Target};
use paceline_pipeline::model::Pointer;
use paceline_pipeline::rules::operator::{
    Author, ChangeError, Changed, FolderError, Operator, RemotePlugins, RulesFolder, precompile_package,
};
use paceline_pipeline::rules::{Registry, RulesEvent, Tail};
use paceline_pipeline::{ErrorChain, Rulebooks};
use tempfile::TempDir;

use crate::block_on::block_on;
use crate::{environment, plugins};

/// Why rules were not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The folder, or one of its rulebooks.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The change.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// The sandbox, with a cache that all tests share: compiling plugins is most of what they would wait for.
///
/// # Panics
///
/// If it can't be made.
pub fn engine() -> Engine {
    Engine::with_cache(Limits::default(), &environment::checkout().join("target/tmp/compiled")).unwrap()
}

/// The field that names a message's race type.
///
/// # Panics
///
/// Never: the pointer is valid.
pub fn route() -> Pointer {
    Pointer::parse("/classId").unwrap()
}

/// Writes the folder's `rules.toml`: race type N runs `class-N.toml`.
///
/// # Panics
///
/// If the folder can't be read or written.
pub fn map(folder: &Path) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "rules.toml")
        .collect();
    names.sort();
    let race_type = |name: &String| {
        let race_type = name.strip_prefix("class-")?.strip_suffix(".toml")?;
        Some(format!("{race_type} = {name:?}\n"))
    };
    let race_types: String = names.iter().filter_map(race_type).collect();
    let text = format!("[race-types]\n{race_types}\n[plugins]\nfolder = {:?}\n", plugins::folder());
    fs::write(folder.join("rules.toml"), text).unwrap();
}

/// Makes the rules those of a folder, which has a `rules.toml`.
pub fn apply(folder: &Path, registry: &Registry) -> Result<Changed, ApplyError> {
    let route = route();
    let operator = Operator { registry, route: &route };
    block_on(async {
        let folder = RulesFolder::read(folder)?;
        let prepared = folder.prepare(&engine(), registry, RemotePlugins::new()).await?;
        let (tail, _) = Tail::open(registry).await.map_err(ChangeError::from)?;
        let requests = RulesFolder::requests(&prepared, &tail.rules);
        let plan = operator.plan(&requests).await?;
        // With one time, equal rules have equal logs.
        let author = Author { by: "test".to_owned(), why: None, at: Some(std::time::UNIX_EPOCH), key: None };
        Ok(operator.commit(&author, plan).await?)
    })
}

/// Adds compiled code for this machine's architecture to a package's registry, as `rules bundle --precompile` does. Returns
/// the number of plugins.
///
/// # Panics
///
/// If that is not possible.
pub fn precompile(registry: &Path) -> usize {
    let target = Target::of_host().expect("code is compiled for this architecture");
    let plugins = block_on(precompile_package(&Registry::folder(registry).unwrap(), &[target])).unwrap();
    let_only_the_owner_write(registry);
    plugins
}

/// Gives a package's files the modes that they have in a package, whatever this process's mask is.
///
/// # Panics
///
/// If a file can't be changed.
pub fn let_only_the_owner_write(path: &Path) {
    let mode = fs::metadata(path).unwrap().permissions().mode();
    fs::set_permissions(path, fs::Permissions::from_mode(mode & !0o022)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| let_only_the_owner_write(&entry.unwrap().path()));
    }
}

/// Maps and applies a folder of rulebooks to the registry in another folder, and follows it.
///
/// # Panics
///
/// If the rules are refused.
pub fn open(folder: &Path, registry: &Path) -> (Arc<Rulebooks>, Vec<RulesEvent>) {
    let registry = Registry::create_folder(registry).unwrap();
    map(folder);
    apply(folder, &registry).unwrap_or_else(|error| panic!("{}", ErrorChain(&error)));
    let rulebooks = Arc::new(Rulebooks::new(engine(), registry, route()));
    let events = block_on(rulebooks.poll()).unwrap();
    (rulebooks, events)
}

/// The rules of the Alleycat example, in memory.
///
/// # Panics
///
/// If they are refused.
pub fn alleycat() -> Arc<Rulebooks> {
    in_memory(&environment::checkout().join("examples/alleycat/rulebooks"))
}

/// The rules of the Alleycat example, in memory, with an item for each group.
///
/// # Panics
///
/// If they are refused.
pub fn alleycat_unpacked() -> Arc<Rulebooks> {
    in_memory(alleycat_unpacked_folder().path())
}

/// A copy of the folder of the Alleycat example whose rulebooks have an item for each group.
///
/// # Panics
///
/// If it can't be written.
pub fn alleycat_unpacked_folder() -> TempDir {
    let (folder, copy) = (environment::checkout().join("examples/alleycat/rulebooks"), tempfile::tempdir().unwrap());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replace("../../../target/plugins", &plugins::folder().display().to_string());
        let lines = text.lines().filter(|line| !line.starts_with("pack = "));
        let unpacked: String = lines.flat_map(|line| [line, "\n"]).collect();
        fs::write(copy.path().join(path.file_name().unwrap()), unpacked).unwrap();
    }
    copy
}

fn in_memory(folder: &Path) -> Arc<Rulebooks> {
    let registry = Registry::memory();
    apply(folder, &registry).unwrap_or_else(|error| panic!("{}", ErrorChain(&error)));
    let rulebooks = Arc::new(Rulebooks::new(engine(), registry, route()));
    let events = block_on(rulebooks.poll()).unwrap();
    assert!(events.iter().all(|event| matches!(event, RulesEvent::Activated { .. })), "{events:?}");
    rulebooks
}
