//! Keys to sign changes with.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use paceline_pipeline::rules::SigningKey;
use serde_json::json;

use crate::report;

/// Writes a new key into a file, and prints the public key.
pub(super) fn generate(file: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let bytes = SigningKey::generate()?;
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(file);
    opened.and_then(|mut file| file.write_all(&bytes)).with_context(|| file.display().to_string())?;
    let public = SigningKey::from_pkcs8(&bytes)?.public().to_string();
    match json {
        true => report::print_json(&json!({ "publicKey": public }))?,
        false => report::print_line(&public)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a key from its file.
pub(super) fn read(file: &Path) -> anyhow::Result<SigningKey> {
    let name = || file.display().to_string();
    let bytes = std::fs::read(file).with_context(name)?;
    SigningKey::from_pkcs8(&bytes).with_context(name)
}
