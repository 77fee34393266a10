//! The configured wasmtime engine and what all its components share: the linker, the watchdog, the limits, the cache.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use crate::cache::Cache;
use crate::call_deadline::CallDeadline;
use crate::compiler::config;
use crate::digest::Digest;
use crate::fault::EngineError;
use crate::imports::{self, HostState};
use crate::limits::{self, Limits};
use crate::packaged::PackagedCode;
use crate::precompiled::Precompiler;
use crate::profile::{self, Profile};
use crate::watchdog::{self, Watchdog};

/// Instances that the pool has room for. Each batch in flight uses one at a time; the room is address space, not
/// memory.
const POOLED_INSTANCES: u32 = 128;

/// Memory that a slot of the pool keeps between two instances, in bytes: a batch of 10,000 Alleycat rows touches less.
/// Wiping it is much faster than returning it to the system and faulting it in again.
const KEEP_RESIDENT_BYTES: usize = 2 << 20;

/// The guard behind a memory where address space is short, in bytes.
const SMALL_GUARD_BYTES: u64 = 64 << 10;

/// Runs components. One engine serves a whole process; clones share it.
#[derive(Clone)]
pub struct Engine(Arc<Sandbox>);

struct Sandbox {
    wasmtime: wasmtime::Engine,
    linker: Linker<HostState>,
    watchdog: Watchdog,
    limits: Limits,
    cache: Option<Cache>,
    packaged: Option<PackagedCode>,
    call_deadline: CallDeadline,
    /// Whether it runs code that was compiled on another machine: such code is optimised, and for instances of a pool.
    takes_precompiled: bool,
    precompiled_name: OnceLock<Option<String>>,
    profile: Option<Profile>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

impl Engine {
    /// Sets up the sandbox. Where the machine lacks the address space for a pool of instances, each instance gets its
    /// memory from the system: slower, otherwise the same.
    pub fn new(limits: Limits) -> Result<Self, EngineError> {
        Self::start(limits, Code::default(), OptLevel::Speed, None)
    }

    /// Sets up the sandbox with a compiler that does not optimise: plugins are slower, and everything else is the same.
    /// What a plugin returns under both engines does not depend on how it was compiled. `cache` is a folder for compiled
    /// components, as for [`with_cache`](Self::with_cache); optimised ones may be in it, too.
    pub fn unoptimised(limits: Limits, cache: Option<&Path>) -> Result<Self, EngineError> {
        Self::start(limits, Code::cached(cache), OptLevel::None, None)
    }

    /// Sets up the sandbox, and takes a [`profile`](Self::profile) of all calls. `cache` is that of
    /// [`with_cache`](Self::with_cache).
    pub fn profiling(limits: Limits, cache: Option<&Path>) -> Result<Self, EngineError> {
        Self::start(limits, Code::cached(cache), OptLevel::Speed, Some(Profile::default()))
    }

    /// Sets up the sandbox with a folder for compiled components, which must not be writable by other users. Where the
    /// folder can't be used, components are compiled at each start.
    pub fn with_cache(limits: Limits, folder: &Path) -> Result<Self, EngineError> {
        Self::start(limits, Code::cached(Some(folder)), OptLevel::Speed, None)
    }

    /// Sets up the sandbox of a host. `cache` is that of [`with_cache`](Self::with_cache). Plugins of which `packaged` has
    /// code are neither compiled nor cached.
    pub fn with_code(
        limits: Limits,
        cache: Option<&Path>,
        packaged: Option<PackagedCode>,
    ) -> Result<Self, EngineError> {
        Self::start(limits, Code { packaged, ..Code::cached(cache) }, OptLevel::Speed, None)
    }

    fn start(
        limits: Limits,
        Code { cache, packaged }: Code,
        level: OptLevel,
        profile: Option<Profile>,
    ) -> Result<Self, EngineError> {
        let failed = |error: wasmtime::Error| EngineError::Start(error.into());
        let (wasmtime, is_pooled) = match wasmtime::Engine::new(pooled(&limits).cranelift_opt_level(level)) {
            Ok(engine) => (engine, true),
            Err(error) => {
                tracing::warn!("no pool of instances on this machine, so each batch takes longer: {error:#}");
                (wasmtime::Engine::new(without_pool(&limits).cranelift_opt_level(level)).map_err(failed)?, false)
            }
        };
        let mut linker = Linker::new(&wasmtime);
        imports::link(&mut linker).map_err(failed)?;
        let tick = if profile.is_some() { profile::EVERY } else { watchdog::TICK };
        let watchdog = Watchdog::start(&wasmtime, tick).map_err(|error| EngineError::Start(error.into()))?;
        let call_deadline = CallDeadline::default();
        let takes_precompiled = is_pooled && level == OptLevel::Speed;
        let precompiled_name = OnceLock::new();
        Ok(Self(Arc::new(Sandbox {
            wasmtime,
            linker,
            watchdog,
            limits,
            cache,
            packaged,
            call_deadline,
            takes_precompiled,
            precompiled_name,
            profile,
        })))
    }

    /// The limits of plugins, where neither their language nor a rulebook gives them others.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// When all calls for batches have to end. They fail with [`EngineError::Deadline`] then.
    pub fn call_deadline(&self) -> &CallDeadline {
        &self.0.call_deadline
    }

    /// The name of the compiled code that it can run beside what it compiles itself, if there is such code: a
    /// [`Precompiler`] of this name makes it.
    pub fn precompiled_name(&self) -> Option<&str> {
        let name = || Some(Precompiler::of_host().filter(|_| self.0.takes_precompiled)?.name().to_owned());
        self.0.precompiled_name.get_or_init(name).as_deref()
    }

    /// What samples of the calls have shown, where they are taken.
    pub fn profile(&self) -> Option<&Profile> {
        self.0.profile.as_ref()
    }

    /// Whether the cache or the package has the compiled code of a plugin.
    pub fn has_code(&self, digest: Digest) -> bool {
        let packaged = || self.packaged()?.file(digest, self.precompiled_name()?).is_file().then_some(());
        self.cache().is_some_and(|cache| cache.has(self.wasmtime(), digest)) || packaged().is_some()
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.wasmtime
    }

    pub(crate) fn linker(&self) -> &Linker<HostState> {
        &self.0.linker
    }

    pub(crate) fn watchdog(&self) -> &Watchdog {
        &self.0.watchdog
    }

    pub(crate) fn cache(&self) -> Option<&Cache> {
        self.0.cache.as_ref()
    }

    pub(crate) fn packaged(&self) -> Option<&PackagedCode> {
        self.0.packaged.as_ref()
    }
}

/// Where an engine finds compiled code.
#[derive(Default)]
struct Code {
    cache: Option<Cache>,
    packaged: Option<PackagedCode>,
}

impl Code {
    fn cached(folder: Option<&Path>) -> Self {
        Self { cache: folder.and_then(open_cache), packaged: None }
    }
}

fn open_cache(folder: &Path) -> Option<Cache> {
    let warn = |error: &_| tracing::warn!("compiled plugins are not cached in {}: {error}", folder.display());
    Cache::open(folder).inspect_err(warn).ok()
}

/// The same configuration, where the address space may be too small for a pool: memories reserve what they may grow to,
/// not the 4 GiB that would spare checks of bounds.
fn without_pool(limits: &Limits) -> Config {
    let mut config = config();
    config
        .memory_reservation(limits.most_memory_bytes() as u64)
        .memory_reservation_for_growth(0)
        .memory_guard_size(SMALL_GUARD_BYTES);
    config
}

/// The same configuration, with instances from a pool.
fn pooled(limits: &Limits) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    // No component can use up the pool for the others: there is room for as many instances of any, but for memories. A
    // memory takes 4 GiB of address space, and most components have one.
    pool.total_component_instances(POOLED_INSTANCES)
        .total_core_instances(POOLED_INSTANCES * limits::CORE_INSTANCES)
        .total_memories(POOLED_INSTANCES * 2)
        .total_tables(POOLED_INSTANCES * limits::TABLES)
        // `footprint` refuses such components before they are compiled. What wasmtime adds counts here, too.
        .max_core_instances_per_component(limits::CORE_INSTANCES)
        .max_memories_per_component(limits::MEMORIES)
        .max_tables_per_component(limits::TABLES)
        .max_memory_size(limits.most_memory_bytes())
        .max_core_instance_size(4 << 20)
        .max_component_instance_size(4 << 20)
        .table_elements(limits::TABLE_ELEMENTS)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(64 << 10)
        // Linux 6.7 and later report which pages were touched; only those are wiped.
        .pagemap_scan(Enabled::Auto);
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}
