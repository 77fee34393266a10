//! `paceline plugin build`: runs cargo and converts the core module to a component.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde_json::Value;
use wit_component::ComponentEncoder;

use crate::report;

/// The target without WASI: nothing that is built for it imports anything by accident.
const TARGET: &str = "wasm32-unknown-unknown";

/// Arguments of `paceline plugin build`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The plugin's folder, with its Cargo.toml.
    dir: PathBuf,
    /// The component's file, or a folder for a file with the package's name [default: beside cargo's output]
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
}

/// Builds the plugin in a folder.
pub(crate) fn build(arguments: &Arguments) -> anyhow::Result<()> {
    let manifest = arguments.dir.join("Cargo.toml");
    if !manifest.is_file() {
        bail!("{}: there is no Cargo.toml", arguments.dir.display());
    }
    let toolchain = Toolchain::find()?;
    let metadata = cargo_json(
        Command::new("cargo").args(["metadata", "--no-deps", "--format-version=1", "--manifest-path"]).arg(&manifest),
    )?;
    let metadata = metadata.first().context("cargo metadata printed nothing")?;
    let target = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
    let root = metadata["workspace_root"].as_str().context("cargo metadata names no workspace root")?;

    // A separate folder: plugins may be built by another compiler than host programs, and each compiler would discard
    // the other's artifacts.
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--release", "--target", TARGET, "--message-format=json-render-diagnostics", "--manifest-path"])
        .arg(&manifest)
        .arg("--target-dir")
        .arg(Path::new(target).join("plugins-build"));
    toolchain.apply(&mut cargo, Path::new(root));
    let messages = cargo_json(&mut cargo)?;

    let manifest = manifest.canonicalize().with_context(|| manifest.display().to_string())?;
    let ours = |message: &&Value| {
        message["reason"] == "compiler-artifact"
            && message["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest)
    };
    let module = messages.iter().filter(ours).find_map(|artifact| {
        let files = artifact["filenames"].as_array()?;
        files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
    });
    let module = module.with_context(|| {
        format!(
            "{} builds no WebAssembly module: its Cargo.toml needs [lib] crate-type = [\"cdylib\"]",
            manifest.display()
        )
    })?;
    let bytes = std::fs::read(&module).with_context(|| module.display().to_string())?;
    let component = componentize(&bytes).with_context(|| module.display().to_string())?;

    let name = package_name(metadata, &manifest);
    let out = match &arguments.out {
        Some(out) if out.is_dir() => out.join(format!("{name}.wasm")),
        Some(out) => out.clone(),
        None => module.with_file_name(format!("{name}.component.wasm")),
    };
    // An unchanged component keeps its modification time, so that its dependents need not be rebuilt.
    if std::fs::read(&out).ok().as_ref() != Some(&component) {
        std::fs::write(&out, &component).with_context(|| out.display().to_string())?;
    }
    report::print_line(&format!("{}  {} bytes", out.display(), report::thousands(component.len() as u64)))
}

/// A core module with wit-bindgen's metadata as a component.
fn componentize(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    let encode = || ComponentEncoder::default().validate(true).module(module)?.encode();
    encode().context("the module can't be converted to a component")
}

fn package_name(metadata: &Value, manifest: &Path) -> String {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ours = |package: &&Value| package["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest);
    packages.iter().find(ours).and_then(|package| package["name"].as_str()).unwrap_or("plugin").to_owned()
}

/// Runs cargo, which shows its own progress and errors, and parses the JSON lines that it writes.
fn cargo_json(cargo: &mut Command) -> anyhow::Result<Vec<Value>> {
    let output = cargo
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .output()
        .context("cargo can't be started; is Rust installed?")?;
    if !output.status.success() {
        bail!("cargo failed; see its output above");
    }
    Ok(output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// Where cargo keeps the sources of dependencies.
fn cargo_home() -> Option<PathBuf> {
    let home = || Some(Path::new(&std::env::var_os("HOME")?).join(".cargo"));
    std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home)
}

/// The compiler that builds for WebAssembly on this machine.
enum Toolchain {
    /// The default one, with the target installed.
    Default,
    /// `rustc`, `rust-lld` and `sysroot` in a folder that `scripts/wasm-toolchain` filled.
    Folder(PathBuf),
}

impl Toolchain {
    fn find() -> anyhow::Result<Self> {
        let library = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
        let library = library.context("rustc can't be started; is Rust installed?")?;
        let library = String::from_utf8_lossy(&library.stdout).trim().to_owned();
        if !library.is_empty() && Path::new(&library).is_dir() {
            return Ok(Self::Default);
        }
        let cache = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
        match cache.map(|cache| cache.join("paceline/wasm-toolchain")) {
            Some(folder) if folder.join("sysroot").is_dir() => Ok(Self::Folder(folder)),
            _ => bail!(
                "there is no standard library for {TARGET}: run `rustup target add {TARGET}`, or `make setup` in a \
                 checkout of paceline"
            ),
        }
    }

    /// Has cargo build with this toolchain, so that the same source gives the same bytes in every folder and on every
    /// machine with the same compiler: the rest of a plugin's identity. `root` is the folder of the workspace.
    fn apply(&self, cargo: &mut Command, root: &Path) {
        let mut flags = vec!["-Ctarget-feature=+simd128".to_owned()];
        // Messages of panics name source files.
        flags.push(format!("--remap-path-prefix={}=/plugin", root.display()));
        if let Some(home) = cargo_home() {
            flags.push(format!("--remap-path-prefix={}=/cargo", home.display()));
        }
        if let Self::Folder(folder) = self {
            flags.push(format!("--sysroot={}", folder.join("sysroot").display()));
            cargo.env("RUSTC", folder.join("rustc"));
            cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", folder.join("rust-lld"));
        }
        // This variable overrides all other sources of flags, so that none of the machine's flags apply.
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
        // These variables may be set for the build of this program, and would apply to the plugin's build.
        cargo.env_remove("CARGO_TARGET_DIR").env_remove("RUSTC_WRAPPER").env_remove("RUSTC_WORKSPACE_WRAPPER");
    }
}
