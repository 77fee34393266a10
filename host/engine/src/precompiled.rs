//! Compiled code from elsewhere, so that hosts need not compile. Code in a registry is signed by an operator, and hosts that
//! trust the operator's key use it; code in a [package](crate::PackagedCode) is not signed.
//!
//! ```text
//! public key, 32 bytes | signature, 64 bytes | code
//! ```
//!
//! The signature is Ed25519, of [`STATEMENT`], the plugin's digest, the name of the compiled code and the code itself. The
//! name has the processor architecture and a hash of the compiler's version and settings: code of another version or with
//! other settings has another name.
//!
//! With the feature `cross-compile` a program compiles for both architectures, and for its own one without.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use ring::signature::{ED25519, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};
use wasmtime::OptLevel;
use wasmtime::component::Component;

use crate::canonical;
use crate::compiler::{compatibility, config};
use crate::digest::Digest;

/// What every signed statement begins with: the same key signs other things.
const STATEMENT: &[u8] = b"paceline: compiled code of a plugin\0";

/// Bytes of a public key, and of a signature.
const KEY_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 64;

/// A processor architecture, on Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// x86-64 with what processors have since 2013, such as AVX2.
    X86_64,
    /// ARM with 64 bits.
    Aarch64,
}

/// The text names no architecture that code is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("code is compiled for `x86_64` and `aarch64`")]
pub struct UnknownTarget;

impl Target {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// That of this machine.
    pub fn of_host() -> Option<Self> {
        Self::ALL.into_iter().find(|target| cfg!(target_os = "linux") && target.as_str() == std::env::consts::ARCH)
    }

    /// What the compiler may assume beyond the least processor of the architecture.
    fn preset(self) -> Option<&'static str> {
        match self {
            Self::X86_64 => Some("x86-64-v3"),
            Self::Aarch64 => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(text: &str) -> Result<Self, UnknownTarget> {
        Self::ALL.into_iter().find(|target| target.as_str() == text).ok_or(UnknownTarget)
    }
}

/// A plugin can't be compiled for other machines.
#[derive(Debug, thiserror::Error)]
pub enum PrecompileError {
    /// This program has no compiler for the architecture.
    #[error(
        "this program can't compile for {target}: run the command on a machine of that architecture, or with a program \
         that is built with the feature `cross-compile`"
    )]
    Target {
        /// The architecture.
        target: Target,
        /// The compiler's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The compiler refuses the plugin.
    #[error("plugin {plugin} can't be compiled")]
    Compile {
        /// The plugin.
        plugin: Digest,
        /// The compiler's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Compiles plugins for hosts of an architecture, whatever this machine is.
pub struct Precompiler {
    wasmtime: wasmtime::Engine,
    name: String,
}

impl fmt::Debug for Precompiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Precompiler").field(&self.name).finish()
    }
}

/// An operator's public key and signature.
#[derive(Clone, Copy, Debug)]
pub struct CodeSignature {
    /// The key.
    pub key: [u8; KEY_BYTES],
    /// The signature.
    pub signature: [u8; SIGNATURE_BYTES],
}

impl Precompiler {
    /// A compiler for an architecture.
    pub fn new(target: Target) -> Result<Self, PrecompileError> {
        let failed = |error: wasmtime::Error| PrecompileError::Target { target, source: error.into() };
        let mut config = config();
        config.target(&format!("{target}-unknown-linux-gnu")).map_err(failed)?;
        config.cranelift_opt_level(OptLevel::Speed);
        if let Some(preset) = target.preset() {
            // SAFETY: code that assumes what a processor lacks is a hazard only where it is run. This engine runs none:
            // nothing but `compile` uses it, which returns bytes. An engine that is to run the code compares what the
            // code assumes with its processor when it deserializes it, and refuses it.
            #[expect(unsafe_code, reason = "a preset for code that is not run here, see the safety argument")]
            unsafe {
                config.cranelift_flag_enable(preset)
            };
        }
        let wasmtime = wasmtime::Engine::new(&config).map_err(failed)?;
        let mut hasher = StableHasher(Sha256::new());
        compatibility(&wasmtime).hash(&mut hasher);
        let hash: String = hasher.0.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { wasmtime, name: format!("{target}-{hash}") })
    }

    /// That of this machine's architecture, if it has one.
    pub(crate) fn of_host() -> Option<Self> {
        Self::new(Target::of_host()?).ok()
    }

    /// The name of the code that it compiles: architecture, and a hash of the compiler's version and settings.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Compiles a plugin, and has the code signed.
    pub fn compile(&self, wasm: &[u8], sign: impl FnOnce(&[u8]) -> CodeSignature) -> Result<Vec<u8>, PrecompileError> {
        let (plugin, code) = (Digest::of(wasm), self.compile_unsigned(wasm)?);
        let CodeSignature { key, signature } = sign(&statement(plugin, &self.name, &code));
        Ok([&key[..], &signature, &code].concat())
    }

    /// Compiles a plugin for a package. The code is an ELF file.
    pub fn compile_unsigned(&self, wasm: &[u8]) -> Result<Vec<u8>, PrecompileError> {
        let failed =
            |error: wasmtime::Error| PrecompileError::Compile { plugin: Digest::of(wasm), source: error.into() };
        let rewritten = canonical::rewrite(wasm);
        let code = self.wasmtime.precompile_component(rewritten.as_deref().unwrap_or(wasm)).map_err(failed)?;
        rewritten.map_err(|source| PrecompileError::Compile { plugin: Digest::of(wasm), source: source.into() })?;
        Ok(code)
    }
}

/// What the operator signs.
fn statement(plugin: Digest, name: &str, code: &[u8]) -> Vec<u8> {
    [STATEMENT, plugin.as_bytes(), name.as_bytes(), b"\0", code].concat()
}

/// Compiled code from elsewhere, and the keys of which one has to have signed it.
#[derive(Clone, Debug)]
pub struct SignedCode {
    /// Key, signature and code.
    pub bytes: Vec<u8>,
    /// The keys of the operators whom the host trusts.
    pub trusted: Vec<[u8; KEY_BYTES]>,
}

/// Why compiled code from elsewhere is not used. Each is followed by compiling the plugin here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnusedCode {
    /// It ends within its key or its signature.
    #[error("it is cut off")]
    Cut,
    /// Its key is not among those that the configuration trusts.
    #[error("it is not signed by a trusted key")]
    Untrusted,
    /// Something else was signed.
    #[error("its signature is not of this code, this plugin and this version of the compiler")]
    Signature,
    /// wasmtime does not take it.
    #[error("{0:#}")]
    Refused(wasmtime::Error),
}

impl SignedCode {
    /// The component of this plugin, or why it is not used.
    pub(crate) fn open(&self, engine: &wasmtime::Engine, plugin: Digest, name: &str) -> Result<Component, UnusedCode> {
        let (key, rest) = self.bytes.split_at_checked(KEY_BYTES).ok_or(UnusedCode::Cut)?;
        let (signature, code) = rest.split_at_checked(SIGNATURE_BYTES).ok_or(UnusedCode::Cut)?;
        if !self.trusted.iter().any(|trusted| trusted == key) {
            return Err(UnusedCode::Untrusted);
        }
        if UnparsedPublicKey::new(&ED25519, key).verify(&statement(plugin, name, code), signature).is_err() {
            return Err(UnusedCode::Signature);
        }
        // SAFETY: the bytes are what wasmtime's compiler made from this plugin, for the holder of a key that this host's
        // configuration trusts has signed them as such, and the signature shows that no byte was changed since. The
        // holder decides which plugins this host runs, and so is trusted with what the host does. The name that was
        // signed has wasmtime's full version and settings. wasmtime itself compares the settings and the major version
        // only: the name is what refuses code of a compiler that was mended since. wasmtime also checks that this
        // machine's processor has what the code assumes.
        #[expect(unsafe_code, reason = "machine code that a trusted operator has signed, see the safety argument")]
        let component = unsafe { Component::deserialize(engine, code) };
        component.map_err(UnusedCode::Refused)
    }
}

/// A hash that is the same in all builds of this version.
struct StableHasher(Sha256);

impl Hasher for StableHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The first bytes only: who wants all of them takes them from within.
    fn finish(&self) -> u64 {
        let digest: [u8; 32] = self.0.clone().finalize().into();
        u64::from_le_bytes(std::array::from_fn(|at| digest[at]))
    }
}
