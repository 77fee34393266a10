//! Python: componentize-py, with CPython in the component.

use std::path::{Path, PathBuf};

use crate::project::Project;

use super::tool::{Tool, ToolError};

/// The version that projects are made with and tests are run with.
const VERSION: &str = "0.25.1";
const INSTALL: &str = "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt";

/// Builds a project's component.
pub(super) fn build(project: &Project) -> Result<Vec<u8>, ToolError> {
    // The tool is started in the project's folder.
    let folder = project.folder.canonicalize().map_err(|error| ToolError::Start(project.folder.clone(), error))?;
    let missing = || ToolError::Missing { tool: "componentize-py", folder: project.folder.clone(), install: INSTALL };
    let venv = folder.join(".venv");
    let tool = Tool::new(program(&venv).ok_or_else(missing)?);
    tool.expect_version(VERSION, INSTALL)?;
    let out = folder.join(".plugin.wasm");
    let mut command = tool.command(&folder);
    // Packages of the project's environment, whether it is active or not.
    command.env("VIRTUAL_ENV", &venv);
    command.args(["--quiet", "--wit-path", "wit", "--world", project.kind.as_str(), "componentize", "plugin"]);
    // What this leaves out would be imported from WASI.
    command.args(["--stub-wasi", "--output"]).arg(&out);
    let component = tool.run(&mut command, &out);
    // What remains after a failure is overwritten by the next build.
    let _ = std::fs::remove_file(&out);
    component
}

/// The project's own, or one on the PATH.
fn program(venv: &Path) -> Option<PathBuf> {
    let own = venv.join("bin/componentize-py");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        || std::env::split_paths(&path).map(|folder| folder.join("componentize-py")).find(|file| file.is_file());
    if own.is_file() { Some(own) } else { found() }
}
