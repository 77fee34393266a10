//! `paceline plugin build`: from a plugin's source to a component, by the tools of its language.

mod cargo;
mod javascript;
mod python;
mod tool;

use std::io;
use std::path::{Path, PathBuf};

use crate::project::{FILE, Language, Project, ProjectError};

pub use cargo::{CargoError, ToolchainError};
pub use tool::ToolError;

/// What was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The component's file.
    pub file: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// The plugin can't be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The folder is neither a project nor a package of Rust.
    #[error("{0}: there is no {FILE} and no Cargo.toml: `paceline plugin new NAME --kind scorer` makes a project")]
    NoProject(PathBuf),
    /// The project file can't be used.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// Cargo builds no component.
    #[error(transparent)]
    Cargo(#[from] CargoError),
    /// A tool of another language builds no component.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A file can't be read or written.
    #[error("{0}: it can't be read or written")]
    File(PathBuf, #[source] io::Error),
}

/// A component and where it belongs if nobody says otherwise.
struct Component {
    name: String,
    bytes: Vec<u8>,
    standard: PathBuf,
}

/// Builds the plugin in a folder. `out` is the component's file, or a folder in which it gets the plugin's name.
pub fn build(folder: &Path, out: Option<&Path>) -> Result<Built, BuildError> {
    let component = component(folder)?;
    let file = match out {
        Some(out) if out.is_dir() => out.join(format!("{}.wasm", component.name)),
        Some(out) => out.to_owned(),
        None => component.standard,
    };
    // An unchanged component keeps its modification time, so that its dependents need not be rebuilt.
    if std::fs::read(&file).ok().as_ref() != Some(&component.bytes) {
        std::fs::write(&file, &component.bytes).map_err(|error| BuildError::File(file.clone(), error))?;
    }
    Ok(Built { file, bytes: component.bytes.len() as u64 })
}

fn component(folder: &Path) -> Result<Component, BuildError> {
    if !folder.join(FILE).is_file() {
        return match folder.join("Cargo.toml").is_file() {
            true => Ok(cargo::build(folder)?),
            false => Err(BuildError::NoProject(folder.to_owned())),
        };
    }
    let project = Project::open(folder)?;
    let standard = folder.join(format!("{}.wasm", project.name));
    let bytes = match project.language {
        Language::Rust => cargo::build(folder)?.bytes,
        Language::JavaScript => javascript::build(&project)?,
        Language::Python => python::build(&project)?,
    };
    Ok(Component { name: project.name, bytes, standard })
}
