//! From bytes to a compiled component that keeps to the contract.

use std::fmt;
use std::sync::Arc;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{self, ComponentExportIndex, InstancePre};

use crate::canonical;
use crate::contract::{self, Function, MIGRATION, Role};
use crate::digest::Digest;
use crate::engine::Engine;
use crate::imports::{self, HostState};
use crate::inspect::{self, Language};
use crate::limits::{Limits, PluginLimits};
use crate::load_error::LoadError;
use crate::precompiled::SignedCode;

/// A plugin's code, compiled, with imports and exports that keep to the contract.
#[derive(Clone)]
pub struct Component {
    engine: Engine,
    pre: InstancePre<HostState>,
    roles: Vec<(Role, Exports)>,
    digest: Digest,
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
    /// does not export the role's interface.
    fn find(component: &component::Component, role: Role) -> Option<Self> {
        let mut functions = Self::of(component, role.interface(), role.functions())?;
        let migration = match role {
            Role::Aggregator => Self::of(component, MIGRATION, &Function::MIGRATION),
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
        let interface = component.get_export_index(None, contract::qualified(interface).as_str())?;
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
        if !wasm.starts_with(b"\0asm") {
            return Err(LoadError::NotWebAssembly(inspect::other_format(wasm)));
        }
        // The version field of the binary format: 1 is a core module; a component has 13, and 1 in the layer field.
        if wasm.get(4..8) == Some(&[1, 0, 0, 0]) {
            return Err(LoadError::CoreModule);
        }
        let (digest, language) = (Digest::of(wasm), Language::of(wasm));
        let ready = self.open_packaged(digest).or_else(|| self.open_signed(signed?, digest));
        let compiled = match ready {
            Some(compiled) => compiled,
            None => self.compile(wasm, digest)?,
        };
        let (imports, exports) = names(self.wasmtime(), &compiled);
        for import in &imports {
            imports::check(&import.name, import.only_types, language)?;
        }
        let find = |role| Exports::find(&compiled, role).map(|exports| (role, exports));
        let roles: Vec<_> = Role::ALL.into_iter().filter_map(find).collect();
        if roles.is_empty() {
            return Err(LoadError::no_role(&exports, inspect::has_code(wasm)));
        }
        let pre = self.linker().instantiate_pre(&compiled).map_err(|error| LoadError::ImportType(error.into()))?;
        Ok(Component {
            engine: self.clone(),
            pre,
            roles,
            digest,
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
        let unused = |why: String| {
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
