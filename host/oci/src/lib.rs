//! Plugins in OCI registries, those of container images.
//!
//! A plugin is an artifact as `wkg` writes it: a manifest with a configuration of the type
//! `application/vnd.wasm.config.v0+json` and one layer, `application/wasm`, which is the component's file. So the layer's
//! digest is the plugin's digest, and a reference may name either: the plugin's digest, by which its layer is fetched, or
//! the manifest's, as other programs name an artifact.
//!
//! # Layout
//!
//! - [`mod@reference`]: `oci://REGISTRY/REPOSITORY:TAG@sha256:…`, and whether its registry speaks plain HTTP.
//! - `credentials`: the password for a registry, from Docker's configuration.
//! - `session`: authorization, and requests with a bound on what they return.
//! - `push`, `pull`: from a file to an artifact, and back.
//! - `error`: why that fails.
#![forbid(unsafe_code)]

mod credentials;
mod error;
mod pull;
mod push;
pub mod reference;
mod session;

pub use error::OciError;
pub use pull::pull;
pub use push::{Pushed, push};
pub use reference::Reference;

/// Bytes that a plugin may have by default. One with CPython and its standard library has 20 MB.
pub const MOST_PLUGIN_BYTES: u64 = 64 << 20;

/// How a registry is used.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// Whether the registry is spoken to by plain HTTP, although it is not on this machine.
    pub plain_http: bool,
    /// Bytes of a plugin beyond which it is not pulled.
    pub most_bytes: u64,
}

impl Default for Access {
    fn default() -> Self {
        Self { plain_http: false, most_bytes: MOST_PLUGIN_BYTES }
    }
}

/// The type of the manifest's configuration.
const CONFIG_TYPE: &str = "application/vnd.wasm.config.v0+json";

/// The type of the layer.
const LAYER_TYPE: &str = "application/wasm";

/// How every WebAssembly file begins.
const WASM_MAGIC: &[u8] = b"\0asm";
