//! What a plugin may import: the contract's `settings` and `log`, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wasmtime::component::{ComponentType, Lift, Linker};
use wasmtime::{ResourceLimiter, StoreContextMut};

use crate::call_deadline::CallDeadline;
use crate::contract;
use crate::digest::Digest;
use crate::inspect::Language;
use crate::limits::{
    CORE_INSTANCES, LOG_FUEL, Limits, MEMORIES, SETTING_FUEL, TABLE_ELEMENT_BYTES, TABLE_ELEMENTS, TABLES,
};
use crate::load_error::LoadError;
use crate::profile::Profile;

/// The interfaces of the contract that a plugin may import. `columns` has types and no functions.
const ALLOWED: [&str; 3] = ["columns", "settings", "log"];

/// Checks one import by its name, in a host of this version of the contract. Interfaces of other packages pass if they have
/// only types: nothing in them can be called.
pub(crate) fn check(import: &str, only_types: bool, language: Language, host: &str) -> Result<(), LoadError> {
    match contract::split(import) {
        Some((interface, version)) if ALLOWED.contains(&interface) => match contract::is_compatible(version, host) {
            true => Ok(()),
            false => Err(LoadError::Version(import.to_owned())),
        },
        _ if only_types => Ok(()),
        _ => Err(LoadError::Import { import: import.to_owned(), language }),
    }
}

/// Defines the imports. wasmtime gives them to components of each version that is compatible by its last number, too.
pub(crate) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.instance(&contract::qualified("settings"))?.func_wrap(
        "get",
        |mut store: StoreContextMut<'_, HostState>, (name,): (String,)| {
            spend(&mut store, SETTING_FUEL + name.len() as u64)?;
            let value = store.data().settings.get(&name).cloned();
            store.data_mut().note_setting(name);
            Ok((value,))
        },
    )?;
    linker.instance(&contract::qualified("log"))?.func_wrap(
        "write",
        |mut store: StoreContextMut<'_, HostState>, (level, message): (Level, String)| {
            spend(&mut store, LOG_FUEL + message.len() as u64)?;
            store.data_mut().log(level, &message);
            Ok(())
        },
    )
}

/// How many names of settings are noted that a plugin asks for and does not have, and how long they may be. What it may ask
/// for is bounded by its fuel only.
const NOTED_SETTINGS: usize = 1_000;
const NOTED_SETTING_BYTES: usize = 256;

fn spend(store: &mut StoreContextMut<'_, HostState>, fuel: u64) -> wasmtime::Result<()> {
    let left = store.get_fuel()?;
    store.set_fuel(left.saturating_sub(fuel))
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
    /// The settings that were asked for, while they are noted.
    asked_settings: Option<BTreeSet<String>>,
    /// Lines that the current call has logged, dropped ones included, and how many are not dropped.
    logged_lines: u32,
    log_lines: u32,
    /// The last line of the current call, logged or not.
    last_line: Option<String>,
    /// Lines of the current call whose end was cut off.
    cut_lines: u32,
    /// Ticks of the watchdog that are left for the current call.
    ticks: u64,
    /// A deadline of all calls.
    call_deadline: Option<CallDeadline>,
    /// Bytes of all memories, and of all tables.
    memory_bytes: usize,
    table_bytes: usize,
    /// The last size of memory in bytes that the current call requested and did not get.
    denied_bytes: Option<usize>,
    /// Whether the last growth of a memory was within all limits.
    within_limits: bool,
    /// Why memory could not grow that the plugin may have: the machine has none.
    trouble: Option<wasmtime::Error>,
    /// Where samples of the running functions go, if they are taken.
    profile: Option<Profile>,
}

impl HostState {
    pub(crate) fn new(settings: Arc<BTreeMap<String, String>>, digest: Digest, limits: Limits) -> Self {
        let log_lines = limits.log_lines;
        Self {
            settings,
            digest,
            limits,
            asked_settings: None,
            logged_lines: 0,
            log_lines,
            last_line: None,
            cut_lines: 0,
            ticks: 0,
            call_deadline: None,
            memory_bytes: 0,
            table_bytes: 0,
            denied_bytes: None,
            within_limits: false,
            trouble: None,
            profile: None,
        }
    }

    /// Forgets what the call before has used. This one may log so many lines.
    pub(crate) fn begin_call(&mut self, log_lines: u32) {
        (self.logged_lines, self.log_lines, self.cut_lines) = (0, log_lines, 0);
        (self.denied_bytes, self.last_line) = (None, None);
    }

    /// Notes from now on which settings are asked for.
    pub(crate) fn note_settings(&mut self) {
        self.asked_settings = Some(BTreeSet::new());
    }

    /// The settings that were asked for since they are noted.
    pub(crate) fn take_asked_settings(&mut self) -> BTreeSet<String> {
        self.asked_settings.take().unwrap_or_default()
    }

    fn note_setting(&mut self, name: String) {
        let Some(asked) = &mut self.asked_settings else { return };
        let is_short = asked.len() < NOTED_SETTINGS && name.len() <= NOTED_SETTING_BYTES;
        if is_short || self.settings.contains_key(&name) {
            asked.insert(name);
        }
    }

    /// Notes the running functions at each tick.
    pub(crate) fn sample_into(&mut self, profile: Option<Profile>) {
        self.profile = profile;
    }

    pub(crate) fn profile(&self) -> Option<&Profile> {
        self.profile.as_ref()
    }

    /// Gives the current call so many ticks of the watchdog.
    pub(crate) fn may_take(&mut self, ticks: u64) {
        self.ticks = ticks;
    }

    pub(crate) fn end_by(&mut self, deadline: CallDeadline) {
        self.call_deadline = Some(deadline);
    }

    /// Takes one tick. Returns whether the call may go on.
    pub(crate) fn tick(&mut self) -> bool {
        self.ticks = self.ticks.saturating_sub(1);
        self.ticks > 0 && !self.call_deadline.as_ref().is_some_and(CallDeadline::has_passed)
    }

    /// Lines that the current call has logged, dropped ones included.
    pub(crate) fn logged_lines(&self) -> u32 {
        self.logged_lines
    }

    /// The last line that the current call has logged, if it has logged one.
    pub(crate) fn last_line(&self) -> Option<&str> {
        self.last_line.as_deref()
    }

    /// Lines that the current call has logged and whose end was cut off.
    pub(crate) fn cut_lines(&self) -> u32 {
        self.cut_lines
    }

    /// Bytes of all memories.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    pub(crate) fn denied_bytes(&self) -> Option<usize> {
        self.denied_bytes
    }

    /// Why the machine could not give memory that the plugin may have, if that happened.
    pub(crate) fn take_trouble(&mut self) -> Option<wasmtime::Error> {
        self.trouble.take()
    }

    /// Whether so many more bytes of memories or tables are within the limit.
    fn may_grow(&mut self, bytes: usize) -> bool {
        let all = self.memory_bytes.saturating_add(self.table_bytes).saturating_add(bytes);
        let granted = all <= self.limits.memory_bytes;
        if !granted {
            self.denied_bytes = Some(all);
        }
        granted
    }

    fn log(&mut self, level: Level, message: &str) {
        self.logged_lines = self.logged_lines.saturating_add(1);
        let end = message.floor_char_boundary(self.limits.log_line_bytes);
        // A line break would begin a line that reads as the host's own, and an escape sequence would change what a terminal
        // shows.
        let line = self.last_line.insert(message[..end].replace(char::is_control, " "));
        if self.logged_lines > self.log_lines {
            return;
        }
        self.cut_lines += u32::from(end < message.len());
        let (message, digest) = (line, self.digest);
        match level {
            Level::Debug => tracing::debug!(target: "plugin", %digest, "{message}"),
            Level::Info => tracing::info!(target: "plugin", %digest, "{message}"),
            Level::Warn => tracing::warn!(target: "plugin", %digest, "{message}"),
            Level::Error => tracing::error!(target: "plugin", %digest, "{message}"),
        }
    }
}

impl ResourceLimiter for HostState {
    /// The limit is for all memories and tables of a component together. A memory whose growth fails after it was granted
    /// counts as grown; the limit holds all the same.
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let granted = self.may_grow(more);
        self.memory_bytes += if granted { more } else { 0 };
        self.within_limits = granted && maximum.is_none_or(|most| desired <= most);
        Ok(granted)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        // A size that the type of the memory excludes fails before it is asked for.
        if self.within_limits && !error.to_string().contains("memory type's limits") {
            self.trouble =
                Some(error.context("a plugin's memory can't grow: the machine has no memory or address space for it"));
        }
        Ok(())
    }

    // Instances of a pool are limited by it as well.
    fn instances(&self) -> usize {
        CORE_INSTANCES as usize
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT_BYTES);
        let granted = desired <= TABLE_ELEMENTS && self.may_grow(more);
        self.table_bytes += if granted { more } else { 0 };
        Ok(granted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_bytes_limit_is_for_all_memories_together() {
        let limits = Limits { memory_bytes: 100, ..Limits::default() };
        let mut host = HostState::new(Arc::default(), Digest::of(b""), limits);
        let mut grow = |current, desired| host.memory_growing(current, desired, None).unwrap();
        assert!(grow(0, 60));
        assert!(grow(0, 30));
        assert!(grow(30, 40));
        assert!(!grow(60, 61));
        assert_eq!(host.denied_bytes(), Some(101));
    }

    #[test]
    fn memory_bytes_limit_is_for_tables_too() {
        let limits = Limits { memory_bytes: 100, ..Limits::default() };
        let mut host = HostState::new(Arc::default(), Digest::of(b""), limits);
        assert!(host.memory_growing(0, 60, None).unwrap());
        assert!(host.table_growing(0, 2, None).unwrap());
        assert!(host.table_growing(2, 5, None).unwrap());
        assert!(!host.table_growing(0, 1, None).unwrap());
        assert_eq!((host.memory_bytes(), host.denied_bytes()), (60, Some(108)));
    }

    #[test]
    fn memory_that_the_machine_does_not_give_is_its_trouble_and_no_other_memory_is() {
        let mut host =
            HostState::new(Arc::default(), Digest::of(b""), Limits { memory_bytes: 100, ..Limits::default() });
        let mut trouble = |desired, maximum, why: &str| {
            host.memory_growing(0, desired, maximum).unwrap();
            host.memory_grow_failed(wasmtime::Error::msg(why.to_owned())).unwrap();
            host.take_trouble().map(|error| format!("{error:#}"))
        };
        let found = trouble(20, None, "Cannot allocate memory").unwrap();
        assert!(found.contains("the machine has no memory") && found.ends_with("Cannot allocate memory"), "{found}");
        assert_eq!(trouble(20, Some(10), "Memory maximum size exceeded"), None, "the plugin's own maximum");
        assert_eq!(trouble(200, None, "no"), None, "the limit");
        assert_eq!(trouble(20, None, "memory growth exceeds memory type's limits"), None);
    }
}
