//! Rust: cargo builds a core module without WASI, which becomes a component here.

mod names;
mod toolchain;

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use wit_component::ComponentEncoder;

use super::Component;
use toolchain::{TARGET, Toolchain};

pub use toolchain::ToolchainError;

/// Cargo builds no component.
#[derive(Debug, thiserror::Error)]
pub enum CargoError {
    /// The compiler can't build for WebAssembly.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// It can't be started.
    #[error("cargo can't be started; is Rust installed?")]
    Start(#[source] io::Error),
    /// It failed, and printed why.
    #[error("cargo failed; see its output above")]
    Failed,
    /// `cargo metadata` printed something else than expected.
    #[error("`cargo metadata` names no {0}")]
    Metadata(&'static str),
    /// The manifest has no package.
    #[error("{manifest} is a workspace without a package: name the folder of a plugin, {}", one_of(.members))]
    Virtual {
        /// The manifest.
        manifest: PathBuf,
        /// The folders of its members that make modules.
        members: Vec<PathBuf>,
    },
    /// The package makes no module.
    #[error("{0} builds no WebAssembly module: its Cargo.toml needs [lib] crate-type = [\"cdylib\"]")]
    NoModule(PathBuf),
    /// The module is not one of a plugin.
    #[error("{0}: the module can't be converted to a component")]
    Convert(PathBuf, #[source] Box<dyn Error + Send + Sync>),
    /// A file can't be read.
    #[error("{0}: it can't be read")]
    File(PathBuf, #[source] io::Error),
}

fn one_of(members: &[PathBuf]) -> String {
    match members {
        [] => "of which it has none".to_owned(),
        members => members.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(" or "),
    }
}

/// Builds the package in a folder.
pub(super) fn build(folder: &Path) -> Result<Component, CargoError> {
    let canonical = |path: &Path| path.canonicalize().map_err(|error| CargoError::File(path.to_owned(), error));
    // Cargo and rustup look for their configuration from the current folder on: that is the plugin's.
    let folder = canonical(folder)?;
    let manifest = canonical(&folder.join("Cargo.toml"))?;
    let metadata = Metadata::read(&folder)?;
    let package = metadata.package(&manifest)?;
    let toolchain = Toolchain::find(&folder)?;

    // A separate folder: plugins may be built by another compiler than host programs, and each compiler would discard
    // the other's artifacts.
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(&folder)
        .args(["build", "--release", "--lib", "--target", TARGET, "--message-format=json-render-diagnostics"])
        .arg("--target-dir")
        .arg(metadata.text("target_directory")?.join("plugins-build"));
    toolchain.apply(&mut cargo, &metadata.text("workspace_root")?);
    let module = module_of(&cargo_json(&mut cargo)?, &manifest).ok_or(CargoError::NoModule(manifest))?;
    let bytes = std::fs::read(&module).map_err(|error| CargoError::File(module.clone(), error))?;
    let bytes = names::demangled(&bytes)
        .and_then(|bytes| componentize(&bytes))
        .map_err(|error| CargoError::Convert(module.clone(), error))?;
    Ok(Component { standard: module.with_file_name(format!("{package}.component.wasm")), name: package, bytes })
}

/// The file of the module that cargo built of the package with this manifest.
fn module_of(messages: &[Value], manifest: &Path) -> Option<PathBuf> {
    let ours = |message: &&Value| message["reason"] == "compiler-artifact" && is_of(message, manifest);
    messages.iter().filter(ours).find_map(|artifact| {
        let files = artifact["filenames"].as_array()?;
        files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
    })
}

fn is_of(value: &Value, manifest: &Path) -> bool {
    value["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest)
}

/// A core module with wit-bindgen's metadata as a component.
fn componentize(module: &[u8]) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    Ok(ComponentEncoder::default().validate(true).module(module)?.encode()?)
}

/// What cargo knows of a workspace.
struct Metadata(Value);

impl Metadata {
    fn read(folder: &Path) -> Result<Self, CargoError> {
        let mut cargo = Command::new("cargo");
        let printed = cargo_json(cargo.current_dir(folder).args(["metadata", "--no-deps", "--format-version=1"]))?;
        printed.into_iter().next().map(Self).ok_or(CargoError::Metadata("workspace"))
    }

    fn text(&self, key: &'static str) -> Result<PathBuf, CargoError> {
        self.0[key].as_str().map(PathBuf::from).ok_or(CargoError::Metadata(key))
    }

    /// The name of the package with this manifest.
    fn package(&self, manifest: &Path) -> Result<String, CargoError> {
        let packages = self.0["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
        match packages.iter().find(|package| is_of(package, manifest)) {
            Some(package) => package["name"].as_str().map(str::to_owned).ok_or(CargoError::Metadata("package")),
            None => {
                let plugins = packages.iter().filter(|package| makes_module(package));
                let folder = |package: &Value| Some(Path::new(package["manifest_path"].as_str()?).parent()?.to_owned());
                let members = plugins.filter_map(folder).collect();
                Err(CargoError::Virtual { manifest: manifest.to_owned(), members })
            }
        }
    }
}

/// Whether a package has a library of the type `cdylib`.
fn makes_module(package: &Value) -> bool {
    let has =
        |target: &Value| target["crate_types"].as_array().is_some_and(|types| types.iter().any(|it| it == "cdylib"));
    package["targets"].as_array().is_some_and(|targets| targets.iter().any(has))
}

/// Runs cargo, which shows its own progress and errors, and parses the JSON lines that it writes.
fn cargo_json(cargo: &mut Command) -> Result<Vec<Value>, CargoError> {
    let output = cargo.stdout(Stdio::piped()).stderr(Stdio::inherit()).output().map_err(CargoError::Start)?;
    if !output.status.success() {
        return Err(CargoError::Failed);
    }
    Ok(output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}
