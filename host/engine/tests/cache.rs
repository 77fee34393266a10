//! Compiled components on disk: what was compiled is not compiled again, and what is damaged or unsafe is not run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use paceline_engine::{Engine, Limits, Role};

/// The bytes of a plugin that `make plugins` built.
fn wasm(name: &str) -> Vec<u8> {
    let built = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/plugins/");
    let directory = std::env::var_os("PACELINE_PLUGINS").map_or_else(|| built.into(), PathBuf::from);
    let path = directory.join(name).with_extension("wasm");
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; `make plugins` builds it", path.display()))
}

fn engine(cache: &Path) -> Engine {
    Engine::with_cache(Limits::default(), cache).unwrap()
}

fn files(cache: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn what_was_compiled_is_not_compiled_again() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let (scorer, validator) = (wasm("output"), wasm("telemetry"));
    assert_eq!(engine(&cache).load(&scorer).unwrap().roles(), [Role::Scorer]);
    let [of_scorer] = &files(&cache)[..] else { panic!("not one file: {:?}", files(&cache)) };
    assert_eq!(engine(&cache).load(&validator).unwrap().roles(), [Role::Validator]);
    let of_validator = files(&cache).into_iter().find(|file| file != of_scorer).unwrap();

    // Another plugin's machine code under this one's name shows which of both is run.
    fs::copy(&of_validator, of_scorer).unwrap();
    assert_eq!(engine(&cache).load(&scorer).unwrap().roles(), [Role::Validator]);
}

#[test]
fn what_is_damaged_is_compiled_anew() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let plugin = wasm("output");
    engine(&cache).load(&plugin).unwrap();
    let file = files(&cache).remove(0);
    let sound = fs::read(&file).unwrap();
    let mut flipped = sound.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for damaged in [&[][..], &sound[..20], &sound[..sound.len() / 2], &flipped] {
        fs::write(&file, damaged).unwrap();
        assert_eq!(engine(&cache).load(&plugin).unwrap().roles(), [Role::Scorer]);
        // It is whole again; the same code, though not byte for byte the same file.
        assert_eq!(fs::read(&file).unwrap().len(), sound.len());
    }
}

#[test]
fn a_folder_that_others_can_write_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(engine(&cache).load(&wasm("output")).unwrap().roles(), [Role::Scorer]);
    assert!(files(&cache).is_empty());
}
