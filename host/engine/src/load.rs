//! From bytes to a compiled component that keeps to the contract.

use std::fmt;
use std::sync::Arc;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{self, ComponentExportIndex, InstancePre};

use crate::canonical;
use crate::contract::{self, CONTRACT_VERSION, Function, MIGRATION, Role};
use crate::digest::Digest;
use crate::engine::Engine;
use crate::footprint;
use crate::imports::{self, HostState};
use crate::inspect::{self, Language};
use crate::limits::{Limits, PluginLimits};
use crate::load_error::LoadError;
use crate::precompiled::{SignedCode, UnusedCode};

/// A plugin's code, compiled, with imports and exports that keep to the contract.
#[derive(Clone)]
pub struct Component {
    engine: Engine,
    pre: InstancePre<HostState>,
    roles: Vec<(Role, Exports)>,
    digest: Digest,
    contract: String,
    imports: Vec<String>,
    bytes: usize,
    language: Language,
    limits: Arc<Limits>,
}

/// The functions that a component exports for one role. One that is missing is noticed when `describe` is called.
#[derive(Clone, Debug)]
pub(crate) struct Exports {
    functions: Vec<(Function, ComponentExportIndex)>,
    migrates: bool,
}

impl Exports {
    /// The functions of a role's interface and, for an aggregator, those of `migration`. `None` where the component
    /// does not export the role's interface. `contract` is the version that it was built for.
    fn find(component: &component::Component, role: Role, contract: &str) -> Option<Self> {
        let mut functions = Self::of(component, &contract::qualified_in(role.interface(), contract), role.functions())?;
        let migration = match role {
            Role::Aggregator => Self::of(component, &contract::qualified_in(MIGRATION, contract), &Function::MIGRATION),
            Role::Validator | Role::Scorer => None,
        };
        let migrates = migration.is_some();
        functions.extend(migration.into_iter().flatten());
        Some(Self { functions, migrates })
    }

    fn of(
        component: &component::Component,
        interface: &str,
        functions: &[Function],
    ) -> Option<Vec<(Function, ComponentExportIndex)>> {
        let interface = component.get_export_index(None, interface)?;
        let export = |function: Function| component.get_export_index(Some(&interface), function.name());
        Some(functions.iter().filter_map(|&function| Some((function, export(function)?))).collect())
    }

    pub(crate) fn get(&self, function: Function) -> Option<&ComponentExportIndex> {
        self.functions.iter().find(|(name, _)| *name == function).map(|(_, export)| export)
    }

    /// Whether the component exports the interface `migration`, complete or not.
    pub(crate) fn migrates(&self) -> bool {
        self.migrates
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component").field("digest", &self.digest).field("roles", &self.roles()).finish_non_exhaustive()
    }
}

impl Component {
    /// The digest of the bytes that it was loaded from.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The number of bytes that it was loaded from.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The version of the contract that it was built for: the host's, or an older one that is compatible.
    pub fn contract_version(&self) -> &str {
        &self.contract
    }

    /// The interfaces that it imports, without those that have only types.
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// The roles that it can play: at least one.
    pub fn roles(&self) -> Vec<Role> {
        self.roles.iter().map(|(role, _)| *role).collect()
    }

    /// The language that it was written in.
    pub fn language(&self) -> Language {
        self.language
    }

    /// What it may use.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The component with limits that a rulebook sets.
    pub fn with_limits(&self, wanted: &PluginLimits) -> Result<Self, LoadError> {
        let limits = self.engine.limits().of_language(self.language).with(wanted, self.engine.limits())?;
        Ok(Self { limits: Arc::new(limits), ..self.clone() })
    }

    pub(crate) fn exports(&self, role: Role) -> Option<&Exports> {
        self.roles.iter().find(|(played, _)| *played == role).map(|(_, exports)| exports)
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The component with its imports resolved.
    pub(crate) fn pre(&self) -> &InstancePre<HostState> {
        &self.pre
    }
}

impl Engine {
    /// Compiles a component and checks that it keeps to the contract.
    pub fn load(&self, wasm: &[u8]) -> Result<Component, LoadError> {
        self.load_signed(wasm, None)
    }

    /// Like [`load`](Self::load), but does not compile where signed code can be used. Code that can't is reported. What the
    /// package has comes first.
    pub fn load_signed(&self, wasm: &[u8], signed: Option<&SignedCode>) -> Result<Component, LoadError> {
        self.load_as(CONTRACT_VERSION, wasm, signed)
    }

    /// Loads as a host of this version of the contract.
    fn load_as(&self, host: &str, wasm: &[u8], signed: Option<&SignedCode>) -> Result<Component, LoadError> {
        if !wasm.starts_with(b"\0asm") {
            return Err(LoadError::NotWebAssembly(inspect::other_format(wasm)));
        }
        // The version field of the binary format: 1 is a core module; a component has 13, and 1 in the layer field.
        if wasm.get(4..8) == Some(&[1, 0, 0, 0]) {
            return Err(LoadError::CoreModule);
        }
        footprint::check(wasm)?;
        let (digest, language) = (Digest::of(wasm), Language::of(wasm));
        let ready = self.open_packaged(digest).or_else(|| self.open_signed(signed?, digest));
        let compiled = match ready {
            Some(compiled) => compiled,
            None => self.compile(wasm, digest)?,
        };
        let (imports, exports) = names(self.wasmtime(), &compiled);
        for import in &imports {
            imports::check(&import.name, import.only_types, language, host)?;
        }
        let refused = || LoadError::no_role(&exports, inspect::has_code(wasm));
        let contract = built_for(&exports, host).ok_or_else(refused)?;
        let find = |role| Exports::find(&compiled, role, &contract).map(|exports| (role, exports));
        let roles: Vec<_> = Role::ALL.into_iter().filter_map(find).collect();
        if roles.is_empty() {
            return Err(refused());
        }
        let pre = self.linker().instantiate_pre(&compiled).map_err(|error| LoadError::ImportType(error.into()))?;
        Ok(Component {
            engine: self.clone(),
            pre,
            roles,
            digest,
            contract,
            imports: imports.into_iter().filter(|import| !import.only_types).map(|import| import.name).collect(),
            bytes: wasm.len(),
            language,
            limits: Arc::new(self.limits().of_language(language)),
        })
    }

    fn open_packaged(&self, digest: Digest) -> Option<component::Component> {
        self.packaged()?.get(self.wasmtime(), digest, self.precompiled_name()?)
    }

    fn open_signed(&self, signed: &SignedCode, digest: Digest) -> Option<component::Component> {
        let unused = |why: UnusedCode| {
            tracing::warn!("the registry's compiled code of plugin {digest} is not used; compiling the plugin: {why}");
        };
        let opened = signed.open(self.wasmtime(), digest, self.precompiled_name()?).map_err(unused).ok()?;
        tracing::debug!("plugin {digest}: compiled code of the registry is used");
        Some(opened)
    }

    /// The machine code: from the cache where it has it.
    fn compile(&self, wasm: &[u8], digest: Digest) -> Result<component::Component, LoadError> {
        if let Some(cached) = self.cache().and_then(|cache| cache.get(self.wasmtime(), digest)) {
            return Ok(cached);
        }
        let rewritten = canonical::rewrite(wasm);
        // What can't be rewritten is not valid either, and wasmtime says best why.
        let valid = rewritten.as_deref().unwrap_or(wasm);
        let compiled = component::Component::from_binary(self.wasmtime(), valid).map_err(|error| {
            match format!("{error:#}").contains("component model async feature") {
                // wasmtime has no type for it. A test fails if the text changes.
                true => LoadError::Async(error.into()),
                false => LoadError::Invalid(error.into()),
            }
        })?;
        rewritten.map_err(|error| LoadError::Invalid(error.into()))?;
        tracing::debug!("plugin {digest}: compiled on this machine");
        if let Some(cache) = self.cache() {
            cache.put(self.wasmtime(), digest, &compiled);
        }
        Ok(compiled)
    }
}

/// The version of the contract whose roles a component exports, if a host of the version `host` runs it.
fn built_for(exports: &[String], host: &str) -> Option<String> {
    let is_role = |interface: &str| Role::ALL.iter().any(|role| role.interface() == interface);
    let ours = exports.iter().filter_map(|export| contract::split(export));
    ours.filter(|(interface, version)| is_role(interface) && contract::is_compatible(version, host))
        .map(|(_, version)| version.to_owned())
        .next()
}

struct Import {
    name: String,
    /// Whether it is an interface without functions: nothing in it can be called.
    only_types: bool,
}

/// A component's imports, and the names of its exports.
fn names(engine: &wasmtime::Engine, component: &component::Component) -> (Vec<Import>, Vec<String>) {
    let ty = component.component_type();
    let imports = ty.imports(engine).map(|(name, item)| {
        let only_types = match &item.ty {
            ComponentItem::ComponentInstance(instance) => {
                instance.exports(engine).all(|(_, item)| matches!(item.ty, ComponentItem::Type(_)))
            }
            ComponentItem::Type(_) => true,
            _ => false,
        };
        Import { name: name.to_owned(), only_types }
    });
    (imports.collect(), ty.exports(engine).map(|(name, _)| name.to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::Column;
    use crate::plugin::Settings;

    /// The plugin `output`, built for another version of the contract.
    fn output_for(version: &[u8; 6]) -> Vec<u8> {
        // The one that new projects get: it is there before any plugin is built.
        let mut wasm = include_bytes!("../../kit/templates/race/paceline-output.wasm").to_vec();
        let places: Vec<usize> = (0..wasm.len() - 6).filter(|&at| wasm[at..].starts_with(b"@0.2.0")).collect();
        assert!(!places.is_empty());
        places.into_iter().for_each(|at| wasm[at..at + 6].copy_from_slice(version));
        wasm
    }

    #[test]
    fn a_plugin_that_was_built_for_an_older_compatible_contract_runs() {
        let engine = Engine::new(Limits::default()).unwrap();
        let older = engine.load_as("0.2.9", &output_for(b"@0.2.7"), None).unwrap();
        assert_eq!((older.contract_version(), older.roles().as_slice()), ("0.2.7", &[Role::Scorer][..]));
        let weight = Settings::from([("resistance-weight".to_owned(), "2".to_owned())]);
        let scorer = older.scorer(&weight).unwrap();
        let scored = scorer.session().score(1, &[Column::Numbers(&[65.0]), Column::Numbers(&[35.0])]).unwrap();
        assert_eq!(scored.scores, [135.0]);
    }

    #[test]
    fn a_plugin_that_was_built_for_a_newer_contract_is_refused() {
        let engine = Engine::new(Limits::default()).unwrap();
        let error = engine.load_as("0.2.6", &output_for(b"@0.2.7"), None).unwrap_err();
        assert!(matches!(&error, LoadError::Version(name) if name.ends_with("@0.2.7")), "{error}");
        // One that imports nothing, too.
        assert_eq!(built_for(&["paceline:plugin/scoring@0.2.7".to_owned()], "0.2.6"), None);
    }
}
