//! The compiler that builds for WebAssembly on this machine.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target without WASI: nothing that is built for it imports anything by accident.
pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// Memory behind stack and data that an instance has at its start, in bytes: with the stack of 1 MiB and up to 64 KiB of data
/// it is 2 MiB, what a host keeps of an instance's memory for the next one. A batch of 10,000 rows fits, so that a call
/// doesn't have the host grow the memory.
const INITIAL_HEAP_BYTES: u32 = 15 * (64 << 10);

/// Cargo's profile: small and quick code, whatever the folder's manifest says of releases.
const PROFILE: &[(&str, &str)] = &[("CARGO_PROFILE_RELEASE_LTO", "fat"), ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")];

/// There is no compiler that can build plugins.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// The compiler can't be started.
    #[error("rustc can't be started; is Rust installed?")]
    Rustc(#[source] io::Error),
    /// It lacks the target.
    #[error(
        "there is no standard library for {TARGET}: run `rustup target add {TARGET}`, or `make setup` in a checkout of \
         paceline"
    )]
    NoTarget,
}

/// The compiler that builds for WebAssembly on this machine.
pub(super) enum Toolchain {
    /// The default one, with the target installed.
    Default,
    /// `rustc`, `rust-lld` and `sysroot` in a folder that `scripts/wasm-toolchain` filled.
    Folder(PathBuf),
}

impl Toolchain {
    /// The one for a plugin in this folder.
    pub(super) fn find(folder: &Path) -> Result<Self, ToolchainError> {
        let mut rustc = Command::new("rustc");
        rustc.current_dir(folder).args(["--print", "target-libdir", "--target", TARGET]);
        let library = rustc.output().map_err(ToolchainError::Rustc)?;
        let library = String::from_utf8_lossy(&library.stdout).trim().to_owned();
        if !library.is_empty() && Path::new(&library).is_dir() {
            return Ok(Self::Default);
        }
        let cache = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
        match cache.map(|cache| cache.join("paceline/wasm-toolchain")) {
            Some(folder) if folder.join("sysroot").is_dir() => Ok(Self::Folder(folder)),
            _ => Err(ToolchainError::NoTarget),
        }
    }

    /// Has cargo build with this toolchain, so that the same source gives the same bytes in every folder and on every
    /// machine with the same compiler: the rest of a plugin's identity. `root` is the folder of the workspace.
    pub(super) fn apply(&self, cargo: &mut Command, root: &Path) {
        let mut flags = vec!["-Ctarget-feature=+simd128".to_owned()];
        flags.push(format!("-Clink-arg=--initial-heap={INITIAL_HEAP_BYTES}"));
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
        // This variable overrides all other sources of flags, so that none of the machine's flags apply, nor those of a
        // `.cargo/config.toml`.
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
        cargo.envs(PROFILE.iter().copied());
        // These variables may be set for the build of this program, and would apply to the plugin's build.
        cargo.env_remove("CARGO_TARGET_DIR").env_remove("RUSTC_WRAPPER").env_remove("RUSTC_WORKSPACE_WRAPPER");
    }
}

/// Where cargo keeps the sources of dependencies.
fn cargo_home() -> Option<PathBuf> {
    let home = || Some(Path::new(&std::env::var_os("HOME")?).join(".cargo"));
    std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home)
}
