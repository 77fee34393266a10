//! Compiled code that came with the program: when it is run, and when the plugin is compiled instead.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use paceline_engine::{Digest, Engine, Limits, PackagedCode, Precompiler, Role, Target};
use tempfile::TempDir;

use crate::plugins::{require_plugins, wasm};

/// A package with code of a scorer, of this machine's architecture.
struct Package {
    folder: TempDir,
    scorer: Vec<u8>,
}

fn compiler(target: Target) -> Precompiler {
    Precompiler::new(target).unwrap()
}

fn host() -> Target {
    Target::of_host().expect("tests run on Linux")
}

impl Package {
    fn new() -> Self {
        let package = Self { folder: tempfile::tempdir().unwrap(), scorer: wasm("output") };
        fs::create_dir_all(package.file().parent().unwrap()).unwrap();
        package.write(&compiler(host()).compile_unsigned(&package.scorer).unwrap());
        // Whatever this process's mask is.
        for folder in package.folders() {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        }
        package
    }

    fn compiled(&self) -> PathBuf {
        self.folder.path().join("registry/compiled")
    }

    /// The file of the scorer's code.
    fn file(&self) -> PathBuf {
        let name = PackagedCode::file_name(compiler(host()).name());
        self.compiled().join(Digest::of(&self.scorer).hex()).join(name)
    }

    /// The folders from the one with the scorer's code up to the package.
    fn folders(&self) -> Vec<PathBuf> {
        let root = self.folder.path();
        let file = self.file();
        file.ancestors().skip(1).take_while(|folder| folder.starts_with(root)).map(Path::to_owned).collect()
    }

    fn write(&self, code: &[u8]) {
        let _ = fs::remove_file(self.file());
        fs::write(self.file(), code).unwrap();
        fs::set_permissions(self.file(), fs::Permissions::from_mode(0o644)).unwrap();
    }

    /// A host of this package, which caches what it compiles. Returns the scorer's roles as it finds them, and whether it
    /// has compiled the plugin.
    fn start(&self, package: &Path) -> (Vec<Role>, bool) {
        let cache = tempfile::tempdir().unwrap();
        let packaged = PackagedCode::find(package, &self.compiled());
        let engine = Engine::with_code(Limits::default(), Some(cache.path()), packaged).unwrap();
        let roles = engine.load(&self.scorer).unwrap().roles();
        (roles, fs::read_dir(cache.path()).unwrap().count() > 0)
    }

    fn must_compile(&self) {
        assert_eq!(self.start(self.folder.path()), (vec![Role::Scorer], true));
    }
}

#[test]
fn a_host_runs_its_packages_code_and_compiles_nothing() {
    require_plugins!();
    let package = Package::new();
    assert_eq!(package.start(package.folder.path()), (vec![Role::Scorer], false));
    // Another plugin's machine code under this name shows which of the two is run.
    package.write(&compiler(host()).compile_unsigned(&wasm("telemetry")).unwrap());
    assert_eq!(package.start(package.folder.path()), (vec![Role::Validator], false));
}

#[test]
fn a_plugin_compiled_again_gives_the_same_bytes() {
    require_plugins!();
    let code = |plugin: &str| compiler(host()).compile_unsigned(&wasm(plugin)).unwrap();
    for plugin in ["output", "best-output"] {
        assert!(code(plugin) == code(plugin), "{plugin}: packages would not be reproducible");
    }
}

#[test]
fn code_that_is_damaged_or_of_another_version_is_not_run() {
    require_plugins!();
    let package = Package::new();
    let intact = fs::read(package.file()).unwrap();
    for damaged in [&[][..], b"no code", &intact[..100], &intact[..intact.len() / 2]] {
        package.write(damaged);
        package.must_compile();
    }
    package.write(&intact);
    let file = package.file();
    fs::rename(&file, file.with_file_name("x86_64-0123.elf")).unwrap();
    package.must_compile();
}

#[test]
fn code_that_others_can_write_or_that_is_outside_the_package_is_not_run() {
    require_plugins!();
    let package = Package::new();
    let (root, file) = (package.folder.path(), package.file());
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for folder in package.folders() {
        for open in [0o775, 0o757] {
            mode(&folder, open);
            package.must_compile();
        }
        mode(&folder, 0o755);
    }
    mode(&file, 0o666);
    package.must_compile();
    mode(&file, 0o644);
    assert!(!package.start(root).1);

    assert!(package.start(tempfile::tempdir().unwrap().path()).1, "another folder is the package");
    let elsewhere = root.join("elsewhere.elf");
    fs::rename(&file, &elsewhere).unwrap();
    symlink(&elsewhere, &file).unwrap();
    package.must_compile();
}

/// The architecture of an ELF file, as its header names it.
#[cfg(feature = "cross-compile")]
fn machine(elf: &[u8]) -> u16 {
    assert!(elf.starts_with(b"\x7fELF"));
    u16::from_le_bytes([elf[18], elf[19]])
}

#[cfg(feature = "cross-compile")]
#[test]
fn code_is_compiled_for_both_architectures_and_run_on_its_own() {
    require_plugins!();
    // The header's numbers of the two.
    const X86_64: u16 = 62;
    const AARCH64: u16 = 183;
    let package = Package::new();
    for (target, expected) in [(Target::X86_64, X86_64), (Target::Aarch64, AARCH64)] {
        let compiler = compiler(target);
        assert!(compiler.name().starts_with(&format!("{target}-")), "{}", compiler.name());
        let code = compiler.compile_unsigned(&package.scorer).unwrap();
        let detected = wasmtime::Engine::detect_precompiled(&code);
        assert!(matches!(detected, Some(wasmtime::Precompiled::Component)), "{detected:?}");
        assert_eq!(machine(&code), expected);
        package.write(&code);
        assert_eq!(package.start(package.folder.path()), (vec![Role::Scorer], target != host()));
    }
}
