//! The calls of one batch: one instance, replaced after each call that fails.

use wasmtime::component::{ComponentNamedList, ComponentType, Lift, Lower};

use crate::call::{PluginInstance, Returned};
use crate::contract::Function;
use crate::fault::{CallError, EngineError, Fault};
use crate::plugin::Plugin;

/// What a session's call gives. After an error, which blames no row, the batch can be processed again.
pub type Called<T> = Result<T, EngineError>;

/// The calls of one batch to a plugin in the role `R`.
pub struct Session<'p, R> {
    plugin: &'p Plugin,
    pub(crate) role: &'p R,
    /// Made at the first call, and taken away by each call that fails.
    instance: Option<PluginInstance<'p>>,
    fuel: u64,
}

impl<'p, R> Session<'p, R> {
    pub(crate) fn new(plugin: &'p Plugin, role: &'p R) -> Self {
        Self { plugin, role, instance: None, fuel: 0 }
    }

    /// The plugin that it calls.
    pub fn plugin(&self) -> &'p Plugin {
        self.plugin
    }

    /// The fuel used so far, by the calls that returned a result.
    pub fn fuel(&self) -> u64 {
        self.fuel
    }

    /// Calls a function and checks its result. After an invalid result the instance is dropped, as after a trap.
    pub(crate) fn call<P, T>(
        &mut self,
        function: Function,
        rows: usize,
        parameters: P,
        check: impl FnOnce(&T) -> Result<(), Fault>,
    ) -> Result<T, CallError>
    where
        P: ComponentNamedList + Lower,
        T: ComponentType + Lift + 'static,
        Returned<T>: ComponentNamedList + Lift,
    {
        // Taken out, and put back only if the call succeeds.
        let mut instance = match self.instance.take() {
            Some(instance) => instance,
            None => self.plugin.instantiate()?,
        };
        let (result, fuel) = instance.call(self.plugin.export(function), rows, parameters)?;
        self.fuel += fuel;
        check(&result)?;
        self.instance = Some(instance);
        Ok(result)
    }
}
