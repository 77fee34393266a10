//! What a test needs of the machine. [`require!`](crate::require!) skips a test if it is missing.
//!
//! A skipped test passes and writes one line to standard error, even where the harness captures the output of tests:
//!
//! ```text
//! skipped: paceline kcl::a_line_is_read: DynamoDB Local is not running: `scripts/local-aws cargo test` runs it, …
//! ```
//!
//! `cargo test 2>&1 | grep -c '^skipped:'` counts these lines. With `PACELINE_TEST_STRICT=1`, which `make test` sets, a
//! missing prerequisite fails the test instead.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{environment, plugins};

/// Skips the test if one of these variants of [`Prerequisite`] is missing. It is the first line of the test's function:
///
/// ```
/// # use paceline_testbed::require;
/// // #[test]
/// fn every_racer_has_an_item() {
///     require!(Plugins, DynamoDbLocal);
///     // …
/// }
/// ```
#[macro_export]
macro_rules! require {
    ($($needed:ident),+ $(,)?) => {{
        // Its type's name contains the name of the test.
        fn marker() {}
        let test = $crate::prerequisite::test_name(env!("CARGO_PKG_NAME"), ::std::any::type_name_of_val(&marker));
        if $crate::prerequisite::is_missing(&test, &[$($crate::prerequisite::Prerequisite::$needed),+]) {
            return;
        }
    }};
}

/// Something that a fresh checkout or machine may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prerequisite {
    /// The built plugins: [`plugins::folder`].
    Plugins,
    /// A standard library of Rust for `wasm32-unknown-unknown`, to build plugins.
    WasmTarget,
    /// A running DynamoDB Local, on [`environment::DYNAMODB_ENDPOINT`].
    DynamoDbLocal,
    /// A running kinesis-local, on [`environment::KINESIS_ENDPOINT`].
    KinesisLocal,
    /// A running S3 of moto, on [`environment::S3_ENDPOINT`].
    S3Local,
    /// A running moto with what operators read, on [`environment::MOTO_ENDPOINT`].
    Moto,
    /// The KCL's jars, in [`environment::KCL_JARS`].
    KclJars,
    /// npm and pip, with a folder for what they download, in [`environment::AUTHORS`].
    AuthorTools,
    /// The registry of container images, in [`environment::OCI_REGISTRY`].
    OciRegistry,
    /// Valgrind, in [`environment::VALGRIND`]. What it counts is compared with builds of the whole workspace, so it is not
    /// enough that it is on the path.
    Valgrind,
    /// `java`.
    Java,
    /// `node`, which is Node.js.
    Node,
    /// `python3`.
    Python,
    /// `setpriv` and `unshare`, by which tests start programs that end with them and that have few rights.
    UtilLinux,
}

/// What is missing, and how to get it.
#[derive(Debug, PartialEq, Eq)]
pub struct Missing {
    reason: String,
    remedy: &'static str,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.remedy)
    }
}

impl Prerequisite {
    /// What is missing on this machine, if something is.
    pub fn missing(self) -> Option<Missing> {
        self.missing_in(&|name| std::env::var_os(name))
    }

    fn missing_in(self, variable: &dyn Fn(&str) -> Option<OsString>) -> Option<Missing> {
        let is_set = |name| variable(name).is_some_and(|value| !value.is_empty());
        let reason = match self {
            Self::Plugins => {
                let name = plugins::missing()?;
                format!("the plugin `{name}` is not in {}", plugins::folder().display())
            }
            Self::WasmTarget => {
                if wasm_library(variable) {
                    return None;
                }
                "Rust has no standard library for wasm32-unknown-unknown".to_owned()
            }
            Self::DynamoDbLocal => not(is_set(environment::DYNAMODB_ENDPOINT), "DynamoDB Local is not running")?,
            Self::KinesisLocal => not(is_set(environment::KINESIS_ENDPOINT), "kinesis-local is not running")?,
            Self::S3Local => not(is_set(environment::S3_ENDPOINT), "moto's S3 is not running")?,
            Self::Moto => not(is_set(environment::MOTO_ENDPOINT), "moto is not running")?,
            Self::KclJars => not(is_set(environment::KCL_JARS), "the folder of the KCL's jars is not known")?,
            Self::AuthorTools => {
                not(is_set(environment::AUTHORS), "the folder for downloads of npm and pip is not known")?
            }
            Self::OciRegistry => {
                not(is_set(environment::OCI_REGISTRY), "the program of a registry of container images is not known")?
            }
            Self::Valgrind => not(is_set(environment::VALGRIND), "the program of Valgrind is not known")?,
            Self::Java => not(on_path("java", variable), "there is no `java`")?,
            Self::Node => not(on_path("node", variable), "there is no `node`")?,
            Self::Python => not(on_path("python3", variable), "there is no `python3`")?,
            Self::UtilLinux => {
                let found = ["setpriv", "unshare"].into_iter().all(|program| on_path(program, variable));
                not(found, "there is no `setpriv` or no `unshare`")?
            }
        };
        Some(Missing { reason, remedy: self.remedy() })
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::Plugins => "`make plugins` builds it",
            Self::WasmTarget => "`make setup` installs it",
            Self::DynamoDbLocal => "`scripts/local-aws cargo test` runs it, with Java 17 or later",
            Self::KinesisLocal => "`scripts/local-aws cargo test` runs it, with Node.js 18 or later",
            Self::S3Local | Self::Moto => "`scripts/local-aws cargo test` runs it, with Python 3.10 or later",
            Self::KclJars => "`make test-kcl` installs them, or `PACELINE_TEST_KCL=$(scripts/kcl) cargo test`",
            Self::AuthorTools => {
                "`make test-authors` names it, or `PACELINE_TEST_AUTHORS=$(scripts/author-tools) cargo test`"
            }
            Self::OciRegistry => "`make test` names it, or `PACELINE_TEST_OCI=$(scripts/oci-registry) cargo test`",
            Self::Valgrind => "`make test` names it, which builds the whole workspace, whose instructions it counts",
            Self::Java => "install Java 17 or later",
            Self::Node => "install Node.js 18 or later",
            Self::Python => "install Python 3",
            Self::UtilLinux => "`make setup` installs util-linux",
        }
    }
}

fn not(is_there: bool, reason: &str) -> Option<String> {
    (!is_there).then(|| reason.to_owned())
}

fn on_path(program: &str, variable: &dyn Fn(&str) -> Option<OsString>) -> bool {
    variable("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// Whether `rustc` has the library, or `scripts/wasm-toolchain` has installed it.
fn wasm_library(variable: &dyn Fn(&str) -> Option<OsString>) -> bool {
    let cache = variable("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".cache")));
    if cache.is_some_and(|cache| cache.join("paceline/wasm-toolchain/sysroot").is_dir()) {
        return true;
    }
    let rustc = variable("RUSTC").unwrap_or_else(|| "rustc".into());
    let printed = Command::new(rustc).args(["--print", "target-libdir", "--target", "wasm32-unknown-unknown"]).output();
    printed.is_ok_and(|output| {
        let folder = String::from_utf8_lossy(&output.stdout);
        output.status.success() && Path::new(folder.trim()).is_dir()
    })
}

/// The name of a test for messages: its package, then its path in the test binary. `marker` is the name of a type that
/// was declared in the test's function.
pub fn test_name(package: &str, marker: &str) -> String {
    let path = marker.split_once("::").map_or(marker, |(_, path)| path);
    let path = path.strip_suffix("::marker").unwrap_or(path);
    format!("{package} {}", path.replace("::{{closure}}", ""))
}

/// Whether one of these is missing. [`require!`](crate::require!) calls it.
///
/// # Panics
///
/// If one is missing and [`environment::STRICT`] is set.
pub fn is_missing(test: &str, needed: &[Prerequisite]) -> bool {
    let Some(missing) = needed.iter().find_map(|prerequisite| prerequisite.missing()) else { return false };
    let strict = std::env::var_os(environment::STRICT);
    assert!(!is_strict(strict.as_deref()), "{missing}. {} is set: no test may be skipped", environment::STRICT);
    // Unlike `eprintln!`, this is not captured. In one call, so that lines of parallel tests do not mix.
    let line = format!("skipped: {test}: {missing}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    true
}

fn is_strict(variable: Option<&OsStr>) -> bool {
    variable.is_some_and(|value| !value.is_empty() && value != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<'a>(name: &'a str, value: &'a str) -> impl Fn(&str) -> Option<OsString> + 'a {
        move |other| (other == name).then(|| value.into())
    }

    #[test]
    fn a_service_is_missing_without_its_endpoint() {
        let none = |_: &str| None;
        let missing = Prerequisite::DynamoDbLocal.missing_in(&none).unwrap().to_string();
        assert!(missing.starts_with("DynamoDB Local is not running: `scripts/local-aws"), "{missing}");
        assert!(Prerequisite::KinesisLocal.missing_in(&with("PACELINE_TEST_KINESIS", "")).is_some());
        assert_eq!(Prerequisite::KinesisLocal.missing_in(&with("PACELINE_TEST_KINESIS", "http://127.0.0.1:1")), None);
        assert!(Prerequisite::S3Local.missing_in(&none).is_some());
        assert_eq!(Prerequisite::S3Local.missing_in(&with("PACELINE_TEST_S3", "http://127.0.0.1:1")), None);
        assert!(Prerequisite::Moto.missing_in(&none).is_some());
        assert_eq!(Prerequisite::Moto.missing_in(&with("PACELINE_TEST_MOTO", "http://127.0.0.1:1")), None);
        assert_eq!(Prerequisite::KclJars.missing_in(&with("PACELINE_TEST_KCL", "/jars")), None);
        assert!(Prerequisite::AuthorTools.missing_in(&none).is_some());
        assert!(Prerequisite::Valgrind.missing_in(&with("PATH", "/usr/bin")).is_some());
        assert_eq!(Prerequisite::Valgrind.missing_in(&with("PACELINE_TEST_VALGRIND", "/usr/bin/valgrind")), None);
        assert_eq!(Prerequisite::AuthorTools.missing_in(&with("PACELINE_TEST_AUTHORS", "/cache")), None);
    }

    #[test]
    fn a_program_is_looked_for_on_the_path() {
        assert!(Prerequisite::Java.missing_in(&with("PATH", "/nowhere:/nowhere/else")).is_some());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("java"), "").unwrap();
        let path = format!("/nowhere:{}", folder.path().display());
        assert_eq!(Prerequisite::Java.missing_in(&with("PATH", &path)), None);
        assert!(Prerequisite::Node.missing_in(&with("PATH", &path)).is_some());
    }

    #[test]
    fn a_test_is_named_by_its_package_and_path() {
        assert_eq!(test_name("paceline", "it::kcl::a_line_is_read::marker"), "paceline kcl::a_line_is_read");
        assert_eq!(test_name("paceline", "it::stream::race::x::{{closure}}::marker"), "paceline stream::race::x");
    }

    #[test]
    fn any_value_but_0_is_strict() {
        assert!(is_strict(Some("1".as_ref())));
        assert!([Some("".as_ref()), Some("0".as_ref()), None].into_iter().all(|value| !is_strict(value)));
    }
}
