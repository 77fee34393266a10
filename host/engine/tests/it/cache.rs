//! Compiled components on disk: a component is compiled once, and a damaged or unsafe file is not run.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use paceline_engine::{Engine, Limits, Role};

use crate::plugins::{require_plugins, wasm};

fn engine(cache: &Path) -> Engine {
    Engine::with_cache(Limits::default(), cache).unwrap()
}

fn files(cache: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn a_component_is_compiled_once() {
    require_plugins!();
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let (scorer, validator) = (wasm("output"), wasm("telemetry"));
    assert_eq!(engine(&cache).load(&scorer).unwrap().roles(), [Role::Scorer]);
    let [of_scorer] = &files(&cache)[..] else { panic!("not one file: {:?}", files(&cache)) };
    assert_eq!(engine(&cache).load(&validator).unwrap().roles(), [Role::Validator]);
    let of_validator = files(&cache).into_iter().find(|file| file != of_scorer).unwrap();

    // Another plugin's machine code under this name shows which of the two is run.
    fs::copy(&of_validator, of_scorer).unwrap();
    assert_eq!(engine(&cache).load(&scorer).unwrap().roles(), [Role::Validator]);
}

#[test]
fn a_damaged_file_is_replaced() {
    require_plugins!();
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let plugin = wasm("output");
    engine(&cache).load(&plugin).unwrap();
    let file = files(&cache).remove(0);
    let intact = fs::read(&file).unwrap();
    let mut flipped = intact.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for damaged in [&[][..], &intact[..20], &intact[..intact.len() / 2], &flipped] {
        fs::write(&file, damaged).unwrap();
        assert_eq!(engine(&cache).load(&plugin).unwrap().roles(), [Role::Scorer]);
        // The file is complete again: the same code, but not byte for byte the same file.
        assert_eq!(fs::read(&file).unwrap().len(), intact.len());
    }
}

#[test]
fn a_folder_that_others_can_write_is_not_used() {
    require_plugins!();
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(engine(&cache).load(&wasm("output")).unwrap().roles(), [Role::Scorer]);
    assert!(files(&cache).is_empty());
}

#[test]
fn a_file_that_others_can_write_is_replaced() {
    require_plugins!();
    let folder = tempfile::tempdir().unwrap();
    let (cache, other) = (folder.path().join("cache"), folder.path().join("other"));
    let (scorer, validator) = (wasm("output"), wasm("telemetry"));
    engine(&cache).load(&scorer).unwrap();
    engine(&other).load(&validator).unwrap();
    let (file, of_validator) = (files(&cache).remove(0), files(&other).remove(0));
    let mode = || fs::symlink_metadata(&file).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(), 0o600);
    for open in [0o666, 0o620, 0o602] {
        // Another plugin's machine code under this name would show that it is run.
        fs::copy(&of_validator, &file).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(open)).unwrap();
        assert_eq!(engine(&cache).load(&scorer).unwrap().roles(), [Role::Scorer]);
        assert_eq!((mode(), files(&cache).len()), (0o600, 1), "{open:o}");
    }
    fs::remove_file(&file).unwrap();
    symlink(&of_validator, &file).unwrap();
    assert_eq!(engine(&cache).load(&scorer).unwrap().roles(), [Role::Scorer]);
    assert!(fs::symlink_metadata(&file).unwrap().is_file());
    // What was written again is used.
    fs::copy(&of_validator, &file).unwrap();
    assert_eq!(engine(&cache).load(&scorer).unwrap().roles(), [Role::Validator]);
}

#[test]
fn code_that_is_not_optimised_is_cached_beside_the_other() {
    require_plugins!();
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let scorer = wasm("output");
    engine(&cache).load(&scorer).unwrap();
    let unoptimised = Engine::unoptimised(Limits::default(), Some(&cache)).unwrap();
    assert_eq!(unoptimised.load(&scorer).unwrap().roles(), [Role::Scorer]);
    assert_eq!(files(&cache).len(), 2);
}
