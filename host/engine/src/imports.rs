//! What a plugin may import: the contract's `settings` and `log`, and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::component::{ComponentType, Lift, Linker};
use wasmtime::{ResourceLimiter, StoreContextMut};

use crate::contract::{self, CONTRACT_VERSION};
use crate::digest::Digest;
use crate::limits::{LOG_FUEL, Limits, TABLE_ELEMENTS};
use crate::load_error::LoadError;

/// The interfaces of the contract that a plugin may import. `columns` has types and no functions.
const ALLOWED: [&str; 3] = ["columns", "settings", "log"];

/// Checks one import by its name. Interfaces of other packages pass if they have only types: nothing in them can be
/// called.
pub(crate) fn check(import: &str, only_types: bool) -> Result<(), LoadError> {
    match contract::split(import) {
        Some((interface, CONTRACT_VERSION)) if ALLOWED.contains(&interface) => Ok(()),
        Some((interface, _)) if ALLOWED.contains(&interface) => Err(LoadError::Version(import.to_owned())),
        _ if only_types => Ok(()),
        _ => Err(LoadError::Import(import.to_owned())),
    }
}

/// Defines the imports.
pub(crate) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker
        .instance(&contract::qualified("settings"))?
        .func_wrap("get", |store: StoreContextMut<'_, HostState>, (name,): (String,)| {
            Ok((store.data().settings.get(&name).cloned(),))
        })?;
    linker.instance(&contract::qualified("log"))?.func_wrap(
        "write",
        |mut store: StoreContextMut<'_, HostState>, (level, message): (Level, String)| {
            let left = store.get_fuel()?;
            store.set_fuel(left.saturating_sub(LOG_FUEL))?;
            store.data_mut().log(level, &message);
            Ok(())
        },
    )
}

/// The severity of a log line.
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

/// What the host keeps for an instance: what its imports read, and what a call has used.
pub(crate) struct HostState {
    settings: Arc<BTreeMap<String, String>>,
    digest: Digest,
    limits: Limits,
    /// Lines that the current call has logged, dropped ones included.
    log_lines: u32,
    /// The last memory size in bytes that the current call requested and did not get.
    denied_bytes: Option<usize>,
}

impl HostState {
    pub(crate) fn new(settings: Arc<BTreeMap<String, String>>, digest: Digest, limits: Limits) -> Self {
        Self { settings, digest, limits, log_lines: 0, denied_bytes: None }
    }

    /// Forgets what the call before has used.
    pub(crate) fn begin_call(&mut self) {
        self.log_lines = 0;
        self.denied_bytes = None;
    }

    /// Logs how many lines of the current call were dropped, if any.
    pub(crate) fn report_dropped_lines(&self) {
        let dropped = self.log_lines.saturating_sub(self.limits.log_lines);
        if dropped > 0 {
            tracing::warn!(target: "plugin", digest = %self.digest, "{dropped} more lines dropped (limit `log-lines`)");
        }
    }

    pub(crate) fn denied_bytes(&self) -> Option<usize> {
        self.denied_bytes
    }

    fn log(&mut self, level: Level, message: &str) {
        self.log_lines = self.log_lines.saturating_add(1);
        if self.log_lines > self.limits.log_lines {
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

impl ResourceLimiter for HostState {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let granted = desired <= self.limits.memory_bytes;
        if !granted {
            self.denied_bytes = Some(desired);
        }
        Ok(granted)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }
}
