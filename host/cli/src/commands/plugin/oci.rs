//! `paceline plugin push` and `paceline plugin pull`.

use std::path::PathBuf;

use anyhow::{Context, bail};
use paceline_engine::{Digest, Engine, Limits};
use paceline_oci::{Access, MOST_PLUGIN_BYTES, Pushed, Reference};
use serde_json::json;

use crate::report;
use crate::setup::{cache, runtime};

/// Arguments of `paceline plugin push`.
#[derive(clap::Args)]
pub(super) struct PushArguments {
    /// Where to, with a tag: `oci://REGISTRY/REPOSITORY:TAG`.
    reference: Reference,
    /// The component.
    file: PathBuf,
    #[command(flatten)]
    access: AccessArguments,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `paceline plugin pull`.
#[derive(clap::Args)]
pub(super) struct PullArguments {
    /// Which plugin: oci://REGISTRY/REPOSITORY@sha256:…, or with a tag.
    reference: Reference,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    access: AccessArguments,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// How the registry is used.
#[derive(clap::Args)]
struct AccessArguments {
    /// Speak plain HTTP to the registry, with passwords in clear text. Registries on this machine always do.
    #[arg(long)]
    plain_http: bool,
    /// The most bytes that the plugin may have.
    #[arg(long, value_name = "N", default_value_t = MOST_PLUGIN_BYTES)]
    max_bytes: u64,
}

impl AccessArguments {
    fn access(&self) -> Access {
        Access { plain_http: self.plain_http, most_bytes: self.max_bytes }
    }
}

/// Pushes a component that a host would load, and prints by which references it can be had.
pub(super) fn push(arguments: &PushArguments) -> anyhow::Result<()> {
    let PushArguments { reference, file, access, json } = arguments;
    let wasm = std::fs::read(file).with_context(|| file.display().to_string())?;
    if wasm.len() as u64 > access.max_bytes {
        bail!("{} has {} bytes, more than the {} of --max-bytes", file.display(), wasm.len(), access.max_bytes);
    }
    load(&wasm).with_context(|| format!("{} is refused, and nothing was pushed", file.display()))?;
    let Pushed { plugin, manifest } = runtime()?.block_on(paceline_oci::push(reference, wasm, access.access()))?;
    if *json {
        let (plugin, manifest) = (plugin.to_string(), manifest.to_string());
        return report::print_json(&json!({ "plugin": plugin, "manifest": manifest }));
    }
    report::print_line(&format!("{plugin}\nother programs name it {manifest}"))
}

/// Pulls a plugin and writes it into a file.
pub(super) fn pull(arguments: &PullArguments) -> anyhow::Result<()> {
    let PullArguments { reference, out, access, json } = arguments;
    let wasm = runtime()?.block_on(paceline_oci::pull(reference, access.access()))?;
    std::fs::write(out, &wasm).with_context(|| out.display().to_string())?;
    let (digest, bytes) = (Digest::of(&wasm), wasm.len() as u64);
    if *json {
        return report::print_json(&json!({ "digest": digest.to_string(), "bytes": bytes, "file": out }));
    }
    report::print_line(&format!("{}  {} bytes  {digest}", out.display(), report::thousands(bytes)))
}

/// Whether a host would load it.
fn load(wasm: &[u8]) -> anyhow::Result<()> {
    let engine = match cache() {
        Some(cache) => Engine::with_cache(Limits::default(), &cache)?,
        None => Engine::new(Limits::default())?,
    };
    engine.load(wasm)?;
    Ok(())
}
