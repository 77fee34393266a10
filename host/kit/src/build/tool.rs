//! Tools of languages that bring an interpreter along: jco and componentize-py.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines of a tool's output that an error shows.
const TAIL: usize = 20;

/// A tool builds no component.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It is not installed.
    #[error("{tool} is not installed for {}: run `{install}` in that folder", .folder.display())]
    Missing {
        /// Its name.
        tool: &'static str,
        /// The project's folder.
        folder: PathBuf,
        /// The command that installs it.
        install: &'static str,
    },
    /// It has another version than those that are tested.
    #[error("{} has the version {found}, not {wanted}, which paceline is tested with: run `{install}` in the project's folder", .program.display())]
    Version {
        /// Its file.
        program: PathBuf,
        /// Its version.
        found: String,
        /// The version that is tested.
        wanted: &'static str,
        /// The command that installs the right one.
        install: &'static str,
    },
    /// It can't be started.
    #[error("{0} can't be started")]
    Start(PathBuf, #[source] io::Error),
    /// It failed.
    #[error("{} failed. It printed:\n{tail}", .program.display())]
    Failed {
        /// Its file.
        program: PathBuf,
        /// The last lines that it printed.
        tail: String,
    },
    /// It succeeded without a component.
    #[error("{} wrote no component", .program.display())]
    NoComponent {
        /// Its file.
        program: PathBuf,
        /// Why the file can't be read.
        #[source]
        source: io::Error,
    },
}

/// A tool's file, with which it is started.
pub(super) struct Tool {
    program: PathBuf,
}

impl Tool {
    pub(super) fn new(program: PathBuf) -> Self {
        Self { program }
    }

    /// A command of the tool in the project's folder.
    pub(super) fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(folder);
        command
    }

    /// Refuses other versions than the one that is wanted. The tool prints its version as its last word.
    pub(super) fn expect_version(&self, wanted: &'static str, install: &'static str) -> Result<(), ToolError> {
        let output = Command::new(&self.program).arg("--version").output();
        let output = output.map_err(|error| ToolError::Start(self.program.clone(), error))?;
        let text = String::from_utf8_lossy(&output.stdout);
        match text.split_whitespace().last() {
            Some(found) if found == wanted => Ok(()),
            found => Err(ToolError::Version {
                program: self.program.clone(),
                found: found.unwrap_or("of no name").to_owned(),
                wanted,
                install,
            }),
        }
    }

    /// Runs a command of the tool, and returns the component that it writes to `out`.
    pub(super) fn run(&self, command: &mut Command, out: &Path) -> Result<Vec<u8>, ToolError> {
        let output = command.output().map_err(|error| ToolError::Start(self.program.clone(), error))?;
        if !output.status.success() {
            let text = [output.stdout, output.stderr].concat();
            return Err(ToolError::Failed {
                program: self.program.clone(),
                tail: tail(&String::from_utf8_lossy(&text)),
            });
        }
        std::fs::read(out).map_err(|source| ToolError::NoComponent { program: self.program.clone(), source })
    }
}

/// The last lines of a tool's output, indented.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(TAIL)..];
    last.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_the_last_lines() {
        assert_eq!(tail(""), "");
        assert_eq!(tail("one\n\n two \r\n"), "  one\n   two");
        let long: String = (0..100).map(|line| format!("{line}\n")).collect();
        assert_eq!(tail(&long).lines().count(), TAIL);
        assert!(tail(&long).starts_with("  80\n") && tail(&long).ends_with("  99"));
    }
}
