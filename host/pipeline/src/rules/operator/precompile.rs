//! Compiled code beside plugins, signed, so that hosts need not compile.

use std::collections::BTreeMap;

use paceline_engine::{Digest, PrecompileError, Precompiler, Target};

use super::prepare::Prepared;
use crate::rules::error::RegistryError;
use crate::rules::registry::Registry;
use crate::rules::signature::SigningKey;

/// Compiled code can't be added. What was added before is complete.
#[derive(Debug, thiserror::Error)]
pub enum CompiledError {
    /// There is no key.
    #[error("hosts use compiled code only if it is signed: give a key with --key FILE")]
    NoKey,
    /// It can't be compiled.
    #[error(transparent)]
    Compile(#[from] PrecompileError),
    /// It can't be written.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// Compiles the plugins of these rulebooks for these architectures, and adds the code to the registry, signed. Returns the
/// number of plugins. Hosts that trust the key use the code instead of compiling.
pub async fn precompile(
    registry: &Registry,
    key: Option<&SigningKey>,
    rulebooks: &[&Prepared],
    targets: &[Target],
) -> Result<usize, CompiledError> {
    let key = key.ok_or(CompiledError::NoKey)?;
    let plugins: BTreeMap<Digest, &[u8]> =
        rulebooks.iter().flat_map(|rulebook| &rulebook.plugins).map(|(digest, wasm)| (*digest, &**wasm)).collect();
    let compilers = targets.iter().map(|&target| Precompiler::new(target)).collect::<Result<Vec<_>, _>>()?;
    for compiler in &compilers {
        for (digest, wasm) in &plugins {
            let code = compiler.compile(wasm, |statement| key.sign_code(statement))?;
            registry.put_compiled(*digest, compiler.name(), code).await?;
        }
    }
    Ok(plugins.len())
}
