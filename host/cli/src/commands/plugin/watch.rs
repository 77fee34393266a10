//! Runs a command again whenever a file of the plugin changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use paceline_engine::Digest;
use paceline_pipeline::ErrorChain;

use crate::report;
use crate::setup::runtime;
use crate::stop::stop_signal;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_millis(200);

/// Folders that tools fill: what they contain follows from the other files.
const FOLLOWING: [&str; 5] = ["target", "node_modules", ".venv", "__pycache__", ".git"];

/// Runs the command at once and after each change, until the program is stopped. An error is shown, and the next change is
/// waited for. `files` are files, and folders with all that is in them.
pub(super) fn watch(files: &[PathBuf], mut run: impl FnMut() -> anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    let runtime = runtime()?;
    let mut stop = std::pin::pin!(runtime.block_on(async { stop_signal(|| ()) })?);
    let mut seen = None;
    loop {
        let now = Some(contents(files));
        if now != seen {
            if seen.is_some() {
                report::print_line("")?;
            }
            if let Err(error) = run() {
                report::print_line(&format!("paceline: {}", ErrorChain(error.as_ref())))?;
            }
            seen = now;
        }
        let stopped = runtime.block_on(async {
            tokio::select! {
                () = &mut stop => true,
                () = tokio::time::sleep(EVERY) => false,
            }
        });
        if stopped {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// The digests of the files, without components that are built from them. Those that can't be read have none.
fn contents(files: &[PathBuf]) -> BTreeMap<PathBuf, Option<Digest>> {
    let mut contents = BTreeMap::new();
    let mut left: Vec<PathBuf> = files.to_vec();
    while let Some(path) = left.pop() {
        match std::fs::read_dir(&path) {
            Ok(entries) => left.extend(entries.flatten().map(|entry| entry.path()).filter(|path| !follows(path))),
            Err(_) => {
                let digest = std::fs::read(&path).ok().map(|bytes| Digest::of(&bytes));
                contents.insert(path, digest);
            }
        }
    }
    contents
}

fn follows(path: &Path) -> bool {
    let is_filled = path.file_name().is_some_and(|name| FOLLOWING.iter().any(|filled| name == *filled));
    is_filled || path.extension().is_some_and(|extension| extension == "wasm")
}
