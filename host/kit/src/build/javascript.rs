//! JavaScript: jco, with QuickJS in the component.

use crate::project::Project;

use super::tool::{Tool, ToolError};

/// The version that projects are made with and tests are run with.
const VERSION: &str = "1.35.0";
const INSTALL: &str = "npm install";

/// Builds a project's component.
pub(super) fn build(project: &Project) -> Result<Vec<u8>, ToolError> {
    // The tool is started in the project's folder.
    let missing = || ToolError::Missing { tool: "jco", folder: project.folder.clone(), install: INSTALL };
    let folder = project.folder.canonicalize().map_err(|error| ToolError::Start(project.folder.clone(), error))?;
    let program = folder.join("node_modules/.bin/jco");
    if !program.is_file() {
        return Err(missing());
    }
    let tool = Tool::new(program);
    tool.expect_version(VERSION, INSTALL)?;
    let out = folder.join("node_modules/.paceline.wasm");
    let mut command = tool.command(&folder);
    command.args(["componentize", "plugin.js", "--wit", "wit", "--world-name", project.kind.as_str()]);
    // Without the last two, the component imports WASI and built-ins for async functions.
    command.args(["--backend", "qjs", "--backend-qjs-stub-wasi", "--backend-qjs-disable-async", "--out"]).arg(&out);
    let component = tool.run(&mut command, &out);
    // What remains after a failure is overwritten by the next build.
    let _ = std::fs::remove_file(&out);
    component
}
