//! Compiled code beside plugins, so that hosts need not compile: signed in a registry, and unsigned in a package.

use std::collections::{BTreeMap, BTreeSet};

use paceline_engine::{Digest, PackagedCode, PrecompileError, Precompiler, Target};

use super::prepare::Prepared;
use crate::rules::error::RegistryError;
use crate::rules::log::Tail;
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

/// Compiles all plugins that the log of a package's registry names for these architectures, and adds the code, which is
/// trusted as the package is. Returns the number of plugins.
pub async fn precompile_package(registry: &Registry, targets: &[Target]) -> Result<usize, CompiledError> {
    let (tail, _) = Tail::open(registry).await?;
    let plugins: BTreeSet<Digest> =
        tail.rules.rulebooks.values().flat_map(|published| &published.plugins).copied().collect();
    for &target in targets {
        let compiler = Precompiler::new(target)?;
        let name = PackagedCode::file_name(compiler.name());
        for &digest in &plugins {
            let code = compiler.compile_unsigned(&registry.plugin(digest).await?)?;
            registry.put_compiled(digest, &name, code).await?;
        }
    }
    Ok(plugins.len())
}
