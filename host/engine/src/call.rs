//! One instance and its bounded calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::component::{ComponentExportIndex, ComponentNamedList, ComponentType, Instance, Lift, Linker, Lower};
use wasmtime::{ResourceLimiter, Store, StoreContextMut};

use crate::fault::{CallError, Fault, classify};
use crate::limits::{LOG_FUEL, Limits};
use crate::load::Component;
use crate::watchdog::Watchdog;
use crate::{CONTRACT, CONTRACT_VERSION, Digest};

/// What the host keeps beside an instance.
pub(crate) struct HostState {
    settings: Arc<BTreeMap<String, String>>,
    digest: Digest,
    limits: Limits,
    lines: u32,
    /// Memory that the instance asked for and did not get.
    denied: Option<usize>,
}

impl ResourceLimiter for HostState {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let granted = desired <= self.limits.memory_bytes;
        if !granted {
            self.denied = Some(desired);
        }
        Ok(granted)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= crate::load::TABLE_ELEMENTS)
    }
}

/// How loud a line is.
#[expect(dead_code, reason = "made by wasmtime from the number that the plugin gives")]
#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
enum Level {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

/// Gives plugins what they may import.
pub(crate) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let interface = |name: &str| format!("{CONTRACT}/{name}@{CONTRACT_VERSION}");
    linker
        .instance(&interface("settings"))?
        .func_wrap("get", |store: StoreContextMut<'_, HostState>, (name,): (String,)| {
            Ok((store.data().settings.get(&name).cloned(),))
        })?;
    linker.instance(&interface("log"))?.func_wrap(
        "write",
        |mut store: StoreContextMut<'_, HostState>, (level, message): (Level, String)| {
            let left = store.get_fuel()?;
            store.set_fuel(left.saturating_sub(LOG_FUEL))?;
            store.data_mut().log(level, &message);
            Ok(())
        },
    )
}

impl HostState {
    fn log(&mut self, level: Level, message: &str) {
        self.lines = self.lines.saturating_add(1);
        if self.lines > self.limits.log_lines {
            return;
        }
        let end = message.floor_char_boundary(self.limits.log_line_bytes);
        let (message, digest) = (&message[..end], self.digest);
        match level {
            Level::Debug => tracing::debug!(target: "plugin", %digest, "{message}"),
            Level::Info => tracing::info!(target: "plugin", %digest, "{message}"),
            Level::Warn => tracing::warn!(target: "plugin", %digest, "{message}"),
            Level::Error => tracing::error!(target: "plugin", %digest, "{message}"),
        }
    }
}

/// An instance. After a call that fails it can't be called again.
pub(crate) struct PluginInstance {
    store: Store<HostState>,
    instance: Instance,
}

impl PluginInstance {
    pub(crate) fn new(component: &Component, settings: &Arc<BTreeMap<String, String>>) -> Result<Self, CallError> {
        let limits = component.engine.limits();
        let mut store = Store::new(
            &component.engine.0.wasmtime,
            HostState {
                settings: Arc::clone(settings),
                digest: component.digest(),
                limits: limits.clone(),
                lines: 0,
                denied: None,
            },
        );
        store.limiter(|host| host);
        store.set_hostcall_fuel(limits.returned_bytes);
        // A component may run code to start; it is bounded as a call without rows is.
        let fuel = limits.fuel(0);
        store.set_fuel(fuel).map_err(CallError::HostState)?;
        store.set_epoch_deadline(Watchdog::ticks(limits.call_time()));
        let _watched = component.engine.0.watchdog.guard();
        match component.pre.instantiate(&mut store) {
            Ok(instance) => Ok(Self { store, instance }),
            Err(error) if error.is::<wasmtime::PoolConcurrencyLimitError>() => Err(CallError::HostState(error)),
            Err(error) => Err(classify(&error, store.data().denied, fuel, limits).into()),
        }
    }

    /// Calls an export within the bounds for this many rows. The answer is a WIT `result<T, string>`.
    pub(crate) fn call<P, T>(
        &mut self,
        component: &Component,
        export: &ComponentExportIndex,
        rows: usize,
        parameters: P,
    ) -> Result<(T, u64), CallError>
    where
        P: ComponentNamedList + Lower,
        T: ComponentType + Lift + 'static,
        (Result<T, String>,): ComponentNamedList + Lift,
    {
        let limits = component.engine.limits();
        let function = self
            .instance
            .get_typed_func::<P, (Result<T, String>,)>(&mut self.store, export)
            .map_err(|error| Fault::BadAnswer(format!("{error:#}")))?;
        let fuel = limits.fuel(rows);
        self.store.set_fuel(fuel).map_err(CallError::HostState)?;
        self.store.set_epoch_deadline(Watchdog::ticks(limits.call_time()));
        self.store.data_mut().lines = 0;
        self.store.data_mut().denied = None;

        let watched = component.engine.0.watchdog.guard();
        let answer = function.call(&mut self.store, parameters);
        drop(watched);

        let host = self.store.data();
        if let Some(dropped) = host.lines.checked_sub(limits.log_lines).filter(|&dropped| dropped > 0) {
            tracing::warn!(target: "plugin", digest = %host.digest, "{dropped} more lines were dropped (bound `log-lines`)");
        }
        match answer {
            Ok((Ok(answer),)) => {
                let used = fuel.saturating_sub(self.store.get_fuel().unwrap_or(0));
                Ok((answer, used))
            }
            Ok((Err(mut message),)) => {
                message.truncate(message.floor_char_boundary(limits.reason_bytes));
                Err(Fault::Failed(message).into())
            }
            Err(error) => Err(classify(&error, self.store.data().denied, fuel, limits).into()),
        }
    }

    /// Whether an export has the type that it is called with.
    pub(crate) fn check<P, T>(&mut self, export: &ComponentExportIndex) -> Result<(), String>
    where
        P: ComponentNamedList + Lower,
        T: ComponentType + Lift + 'static,
        (Result<T, String>,): ComponentNamedList + Lift,
    {
        match self.instance.get_typed_func::<P, (Result<T, String>,)>(&mut self.store, export) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.root_cause().to_string()),
        }
    }
}
