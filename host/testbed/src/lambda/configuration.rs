//! The configuration of a function.

use std::path::{Path, PathBuf};

/// The region in ARNs.
pub const REGION: &str = "us-east-1";
/// The account in ARNs.
pub const ACCOUNT: &str = "123456789012";

/// The configuration of a function.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The function's name, in its ARN.
    pub name: String,
    /// The program to start.
    pub bootstrap: PathBuf,
    /// The program's working directory, in `LAMBDA_TASK_ROOT`.
    pub task_root: PathBuf,
    /// In `AWS_LAMBDA_FUNCTION_MEMORY_SIZE`; not enforced.
    pub memory_mb: u32,
    /// Variables in addition to Lambda's own, `PATH` and `HOME`; they override those.
    pub environment: Vec<(String, String)>,
    /// The reserved concurrency: how many instances may run at once.
    pub max_instances: usize,
    /// The deadline that the function is told.
    pub deadline: Deadline,
}

/// The header with an invocation's deadline. Whatever it says, the function is killed at its timeout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Deadline {
    /// As Lambda's: the end of the timeout in milliseconds since 1970.
    #[default]
    OfTimeout,
    /// As some emulators': there is none.
    Missing,
    /// As other emulators': this text.
    Text(String),
}

impl Configuration {
    /// The configuration of a program that runs in its own folder, in at most 10 instances.
    pub fn new(bootstrap: impl Into<PathBuf>) -> Self {
        let bootstrap = bootstrap.into();
        let task_root = bootstrap.parent().unwrap_or(Path::new("/")).to_owned();
        let name = "paceline".to_owned();
        Self {
            name,
            bootstrap,
            task_root,
            memory_mb: 1024,
            environment: Vec::new(),
            max_instances: 10,
            deadline: Deadline::default(),
        }
    }

    /// Adds a variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }
}
