//! `paceline plugin build`: cargo, then from core module to component.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use wit_component::ComponentEncoder;

use crate::{Failure, report};

/// The target without WASI: what is built for it can import nothing by accident.
const TARGET: &str = "wasm32-unknown-unknown";

/// What `build` is told.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The plugin's folder, with its Cargo.toml.
    dir: PathBuf,
    /// Where to write the component: a file, or a folder that it gets the package's name in. Beside cargo's own output
    /// unless given.
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
}

/// Builds the plugin in a folder.
pub(crate) fn build(arguments: &Arguments) -> Result<(), Failure> {
    let manifest = arguments.dir.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(format!("{}: there is no Cargo.toml", arguments.dir.display()));
    }
    let toolchain = Toolchain::find()?;
    let metadata = cargo_json(
        Command::new("cargo").args(["metadata", "--no-deps", "--format-version=1", "--manifest-path"]).arg(&manifest),
    )?;
    let metadata = metadata.first().ok_or("cargo metadata says nothing")?;
    let target = metadata["target_directory"].as_str().ok_or("cargo metadata names no target directory")?;

    // A folder of its own: another compiler may build here than builds for this machine, and each would undo what the
    // other has built.
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--release", "--target", TARGET, "--message-format=json-render-diagnostics", "--manifest-path"])
        .arg(&manifest)
        .arg("--target-dir")
        .arg(Path::new(target).join("plugins-build"));
    toolchain.apply(&mut cargo);
    let messages = cargo_json(&mut cargo)?;

    let manifest = manifest.canonicalize().map_err(|error| format!("{}: {error}", manifest.display()))?;
    let ours = |message: &&Value| {
        message["reason"] == "compiler-artifact"
            && message["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest)
    };
    let module = messages.iter().filter(ours).find_map(|artifact| {
        let files = artifact["filenames"].as_array()?;
        files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
    });
    let module = module.ok_or_else(|| {
        format!(
            "{} gives no WebAssembly module: its Cargo.toml needs [lib] crate-type = [\"cdylib\"]",
            manifest.display()
        )
    })?;
    let bytes = std::fs::read(&module).map_err(|error| format!("{}: {error}", module.display()))?;
    let component = componentize(&bytes).map_err(|error| format!("{}: {error}", module.display()))?;

    let name = package_name(metadata, &manifest);
    let out = match &arguments.out {
        Some(out) if out.is_dir() => out.join(format!("{name}.wasm")),
        Some(out) => out.clone(),
        None => module.with_file_name(format!("{name}.component.wasm")),
    };
    // A component that has not changed keeps its time, so that whatever depends on it need not be made again.
    if std::fs::read(&out).ok().as_ref() != Some(&component) {
        std::fs::write(&out, &component).map_err(|error| format!("{}: {error}", out.display()))?;
    }
    report::print_line(&format!("{}  {} bytes", out.display(), report::thousands(component.len() as u64)))
}

/// A core module that wit-bindgen was at work in, as a component.
fn componentize(module: &[u8]) -> Result<Vec<u8>, String> {
    let encode = || ComponentEncoder::default().validate(true).module(module)?.encode();
    encode().map_err(|error| format!("no component can be made of it: {error:#}"))
}

fn package_name(metadata: &Value, manifest: &Path) -> String {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ours = |package: &&Value| package["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest);
    packages.iter().find(ours).and_then(|package| package["name"].as_str()).unwrap_or("plugin").to_owned()
}

/// Runs cargo, which shows its own progress and errors, and reads the JSON that it writes.
fn cargo_json(cargo: &mut Command) -> Result<Vec<Value>, Failure> {
    let output = cargo
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo can't be started: {error}; is Rust installed?"))?;
    if !output.status.success() {
        return Err("cargo failed; what it says stands above".to_owned());
    }
    Ok(output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// What builds for WebAssembly on this machine.
enum Toolchain {
    /// The usual one, which has the target.
    Usual,
    /// A compiler with a standard library of its own, in a folder that `scripts/wasm-toolchain` filled: `rustc`,
    /// `rust-lld` and `sysroot`.
    Folder(PathBuf),
}

impl Toolchain {
    fn find() -> Result<Self, Failure> {
        let library = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
        let library = library.map_err(|error| format!("rustc can't be started: {error}; is Rust installed?"))?;
        let library = String::from_utf8_lossy(&library.stdout).trim().to_owned();
        if !library.is_empty() && Path::new(&library).is_dir() {
            return Ok(Self::Usual);
        }
        let cache = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
        match cache.map(|cache| cache.join("paceline/wasm-toolchain")) {
            Some(folder) if folder.join("sysroot").is_dir() => Ok(Self::Folder(folder)),
            _ => Err(format!(
                "there is no standard library for {TARGET}: `rustup target add {TARGET}` installs it; in a checkout of \
                 paceline, `make setup` does what this machine needs"
            )),
        }
    }

    fn apply(&self, cargo: &mut Command) {
        let mut flags = vec!["-Ctarget-feature=+simd128".to_owned()];
        if let Self::Folder(folder) = self {
            flags.push(format!("--sysroot={}", folder.join("sysroot").display()));
            cargo.env("RUSTC", folder.join("rustc"));
            cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", folder.join("rust-lld"));
        }
        // Of all ways to give flags this one wins over the others, so that none of the machine's gets in.
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
        // Variables by which cargo builds this program's own tests would lead the build of the plugin astray.
        cargo.env_remove("CARGO_TARGET_DIR").env_remove("RUSTC_WRAPPER").env_remove("RUSTC_WORKSPACE_WRAPPER");
    }
}
