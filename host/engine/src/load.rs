//! From bytes to a component that can be called, or the reason why it can't.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{self, ComponentExportIndex, InstancePre, Linker};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::cache::Cache;
use crate::call::{HostState, add_to_linker};
use crate::limits::{self, Limits};
use crate::watchdog::Watchdog;
use crate::{CONTRACT, CONTRACT_VERSION, Digest};

/// Instances that the pool holds room for. Each batch in flight uses one at a time; the room is address space, not
/// memory.
const POOLED_INSTANCES: u32 = 128;

/// Memory that a pool's slot keeps between two instances, in bytes: a batch of 10,000 Alleycat rows touches less. Kept
/// memory is wiped, which is a good deal quicker than to give it back and to fault it in again.
const KEEP_RESIDENT_BYTES: usize = 2 << 20;

/// Tables of a component and their elements: a Rust plugin has two small ones, one in JavaScript or Python some thousand
/// elements.
pub(crate) const TABLE_ELEMENTS: usize = 50_000;

/// What runs components. One serves a whole process; clones share it.
#[derive(Clone)]
pub struct Engine(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) wasmtime: wasmtime::Engine,
    linker: Linker<HostState>,
    pub(crate) watchdog: Watchdog,
    pub(crate) limits: Limits,
    cache: Option<Cache>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

/// The sandbox can't be set up on this machine.
#[derive(Debug, thiserror::Error)]
#[error("the WebAssembly engine can't start: {0:#}")]
pub struct EngineError(pub(crate) wasmtime::Error);

impl Engine {
    /// Sets up the sandbox. Where the machine lacks the address space for a pool of instances, memory comes from the
    /// system for each instance: slower, the same otherwise.
    pub fn new(limits: Limits) -> Result<Self, EngineError> {
        Self::start(limits, None)
    }

    /// Sets up the sandbox with a folder that keeps compiled components, which nobody else may be able to write. Where
    /// it can't be used, components are compiled at each start.
    pub fn with_cache(limits: Limits, folder: &Path) -> Result<Self, EngineError> {
        let cache = Cache::open(folder);
        let warn = |error| tracing::warn!("no cache of compiled plugins in {}: {error}", folder.display());
        Self::start(limits, cache.map_err(warn).ok())
    }

    fn start(limits: Limits, cache: Option<Cache>) -> Result<Self, EngineError> {
        let wasmtime = match pooled(&limits, Enabled::Auto) {
            Ok(engine) => engine,
            Err(error) => {
                tracing::warn!("no pool of instances on this machine, each batch will take longer: {error:#}");
                wasmtime::Engine::new(&config()).map_err(EngineError)?
            }
        };
        let mut linker = Linker::new(&wasmtime);
        add_to_linker(&mut linker).map_err(EngineError)?;
        let watchdog = Watchdog::start(&wasmtime).map_err(|error| EngineError(error.into()))?;
        Ok(Self(Arc::new(Inner { wasmtime, linker, watchdog, limits, cache })))
    }

    /// The bounds that plugins run under.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Compiles a component and checks that it keeps to the contract.
    pub fn load(&self, wasm: &[u8]) -> Result<Component, LoadError> {
        if !wasm.starts_with(b"\0asm") {
            return Err(LoadError::NotWebAssembly);
        }
        // The version field of the binary format: 1 is a core module, 13 in layer 1 a component.
        if wasm.get(4..8) == Some(&[1, 0, 0, 0]) {
            return Err(LoadError::CoreModule);
        }
        let digest = Digest::of(wasm);
        let cached = self.0.cache.as_ref().and_then(|cache| cache.get(&self.0.wasmtime, digest));
        let compiled = match cached {
            Some(compiled) => compiled,
            None => {
                let compiled = component::Component::from_binary(&self.0.wasmtime, wasm)
                    .map_err(|error| LoadError::Invalid(format!("{error:#}")))?;
                if let Some(cache) = &self.0.cache {
                    cache.put(&self.0.wasmtime, digest, &compiled);
                }
                compiled
            }
        };
        let (imports, exports) = names(&self.0.wasmtime, &compiled);
        for import in &imports {
            check_import(&import.name, import.only_types)?;
        }
        let roles = Roles {
            validation: find(&compiled, Role::Validator, ["describe", "validate", "", ""]),
            scoring: find(&compiled, Role::Scorer, ["describe", "score", "", ""]),
            aggregation: find(&compiled, Role::Aggregator, ["describe", "fold", "merge", "finish"]),
        };
        if roles.validation.is_none() && roles.scoring.is_none() && roles.aggregation.is_none() {
            return Err(LoadError::no_role(&exports));
        }
        let pre =
            self.0.linker.instantiate_pre(&compiled).map_err(|error| {
                LoadError::Invalid(format!("an import has another type than the contract: {error:#}"))
            })?;
        Ok(Component {
            engine: self.clone(),
            pre,
            roles,
            digest,
            imports: imports.into_iter().filter(|import| !import.only_types).map(|import| import.name).collect(),
            bytes: wasm.len(),
        })
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config
        // Calls are synchronous; nothing here needs tasks that suspend.
        .concurrency_support(false)
        .consume_fuel(true)
        .epoch_interruption(true)
        // The same bits everywhere: no NaN payloads and no relaxed SIMD that depend on the processor.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .max_wasm_stack(limits::STACK_BYTES);
    config
}

fn pooled(limits: &Limits, pagemap_scan: Enabled) -> wasmtime::Result<wasmtime::Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(POOLED_INSTANCES)
        // A component is a main module and up to three that wit-component adds to wire imports; each may have a table.
        .total_core_instances(POOLED_INSTANCES * 4)
        .total_memories(POOLED_INSTANCES)
        .total_tables(POOLED_INSTANCES * 2)
        .max_memory_size(limits.memory_bytes)
        .max_core_instance_size(4 << 20)
        .max_component_instance_size(4 << 20)
        .table_elements(TABLE_ELEMENTS)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(64 << 10)
        // Asks the kernel (Linux 6.7 and later) which pages were touched, and wipes only those.
        .pagemap_scan(pagemap_scan);
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    wasmtime::Engine::new(&config)
}

/// An import or export as a person knows it.
struct Name {
    name: String,
    /// An instance with types and no functions: nothing that could be called.
    only_types: bool,
}

fn names(engine: &wasmtime::Engine, component: &component::Component) -> (Vec<Name>, Vec<String>) {
    let ty = component.component_type();
    let imports = ty.imports(engine).map(|(name, item)| {
        let only_types = match &item.ty {
            ComponentItem::ComponentInstance(instance) => {
                instance.exports(engine).all(|(_, item)| matches!(item.ty, ComponentItem::Type(_)))
            }
            ComponentItem::Type(_) => true,
            _ => false,
        };
        Name { name: name.to_owned(), only_types }
    });
    (imports.collect(), ty.exports(engine).map(|(name, _)| name.to_owned()).collect())
}

/// Nothing but the contract's `settings` and `log` may be called, and of the contract only this version.
fn check_import(import: &str, only_types: bool) -> Result<(), LoadError> {
    let allowed = ["columns", "settings", "log"];
    match split_contract(import) {
        Some((interface, version)) if allowed.contains(&interface) && version == CONTRACT_VERSION => Ok(()),
        Some((interface, _)) if allowed.contains(&interface) => Err(LoadError::Version(import.to_owned())),
        _ if only_types => Ok(()),
        _ => Err(LoadError::Import(import.to_owned())),
    }
}

/// `paceline:plugin/settings@0.1.0` into `settings` and `0.1.0`.
fn split_contract(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(CONTRACT)?.strip_prefix('/')?.split_once('@')
}

/// What a plugin does. Also the name of the world that it exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Names the records that must not count.
    Validator,
    /// Gives each record a number.
    Scorer,
    /// Folds records into the states of groups.
    Aggregator,
}

impl Role {
    /// The interface that a plugin in this role exports.
    pub fn interface(self) -> &'static str {
        match self {
            Self::Validator => "validation",
            Self::Scorer => "scoring",
            Self::Aggregator => "aggregation",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Validator => "validator",
            Self::Scorer => "scorer",
            Self::Aggregator => "aggregator",
        })
    }
}

/// Where a role's functions are; only the first two are used but for an aggregator.
pub(crate) type Functions = [Option<ComponentExportIndex>; 4];

/// The roles that a component can play.
#[derive(Clone)]
pub(crate) struct Roles {
    validation: Option<Functions>,
    scoring: Option<Functions>,
    aggregation: Option<Functions>,
}

fn find(component: &component::Component, role: Role, functions: [&str; 4]) -> Option<Functions> {
    let interface = format!("{CONTRACT}/{}@{CONTRACT_VERSION}", role.interface());
    let interface = component.get_export_index(None, interface.as_str())?;
    Some(functions.map(|function| component.get_export_index(Some(&interface), function)))
}

/// A plugin's code: it keeps to the contract and is compiled.
#[derive(Clone)]
pub struct Component {
    pub(crate) engine: Engine,
    pub(crate) pre: InstancePre<HostState>,
    roles: Roles,
    digest: Digest,
    imports: Vec<String>,
    bytes: usize,
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component").field("digest", &self.digest).field("roles", &self.roles()).finish_non_exhaustive()
    }
}

impl Component {
    /// The name of its bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// How many bytes it has.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What it asks its host for.
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// What it can do.
    pub fn roles(&self) -> Vec<Role> {
        [Role::Validator, Role::Scorer, Role::Aggregator]
            .into_iter()
            .filter(|&role| self.functions(role).is_some())
            .collect()
    }

    pub(crate) fn functions(&self, role: Role) -> Option<&Functions> {
        match role {
            Role::Validator => self.roles.validation.as_ref(),
            Role::Scorer => self.roles.scoring.as_ref(),
            Role::Aggregator => self.roles.aggregation.as_ref(),
        }
    }
}

/// Why the host will not run a component. Each names what offends and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Some other file.
    #[error("this is not WebAssembly")]
    NotWebAssembly,
    /// A module that nobody made a component of.
    #[error("this is a core module, not a component: build it with `paceline plugin build` or `cargo component build`")]
    CoreModule,
    /// It does not compile, or its types are not the contract's.
    #[error("{0}")]
    Invalid(String),
    /// It wants more than a plugin may have.
    #[error(
        "it imports `{0}`: a plugin may import nothing but `{CONTRACT}/settings` and `{CONTRACT}/log`{advice}",
        advice = if .0.starts_with("wasi:") { "; build it for wasm32-unknown-unknown, which has no WASI" } else { "" }
    )]
    Import(String),
    /// It was built for another version of the contract.
    #[error("it was built for `{0}`: this host speaks version {CONTRACT_VERSION} of `{CONTRACT}`")]
    Version(String),
    /// It is no plugin.
    #[error(
        "it exports none of `{CONTRACT}/validation`, `/scoring` and `/aggregation` in version {CONTRACT_VERSION}; it \
         exports: {0}"
    )]
    NoRole(String),
    /// It is a plugin, but not for what it is wanted for.
    #[error("it is no {wanted}: it does not export `{CONTRACT}/{interface}@{CONTRACT_VERSION}`", interface = .wanted.interface())]
    WrongRole {
        /// What it is wanted for.
        wanted: Role,
    },
    /// An exported function has another type than the contract.
    #[error("its export `{export}` has another type than the contract: {reason}")]
    Type {
        /// The function.
        export: String,
        /// How it differs.
        reason: String,
    },
    /// Its `describe` does not come to an answer.
    #[error("its `describe` fails: {0}")]
    Describe(String),
    /// Its `describe` says something that can't be.
    #[error("its `describe` gives {0}")]
    BadDescription(String),
}

impl LoadError {
    fn no_role(exports: &[String]) -> Self {
        let roles = [Role::Validator, Role::Scorer, Role::Aggregator];
        let other_version = exports.iter().find(|export| {
            split_contract(export).is_some_and(|(interface, _)| roles.iter().any(|role| role.interface() == interface))
        });
        match other_version {
            Some(export) => Self::Version(export.clone()),
            None if exports.is_empty() => Self::NoRole("nothing".to_owned()),
            None => Self::NoRole(exports.iter().map(|export| format!("`{export}`")).collect::<Vec<_>>().join(", ")),
        }
    }
}
