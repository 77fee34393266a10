//! One instance of a component, and its calls within the limits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wasmtime::component::{ComponentExportIndex, ComponentNamedList, ComponentType, Instance, Lift, Lower};
use wasmtime::{Store, StoreContextMut, Trap, UpdateDeadline, WasmBacktrace};

use crate::budget::{Cost, Grant};
use crate::call_deadline::CallDeadline;
use crate::fault::{CallError, Fault};
use crate::imports::HostState;
use crate::load::Component;

/// What every function of the contract returns: WIT's `result<T, string>`.
pub(crate) type Returned<T> = (Result<T, String>,);

/// An instance. After a call that fails it can't be called again.
pub(crate) struct PluginInstance<'c> {
    component: &'c Component,
    store: Store<HostState>,
    instance: Instance,
    /// Whether no call has been made: the first one goes on with what starting has left of the grant.
    is_fresh: bool,
}

impl<'c> PluginInstance<'c> {
    /// Makes an instance for a call within this grant and by a deadline. A component may run code when it starts, which
    /// counts with the call. Returns what it has cost so far.
    pub(crate) fn new(
        component: &'c Component,
        settings: &Arc<BTreeMap<String, String>>,
        grant: Grant,
        deadline: &CallDeadline,
    ) -> (Result<Self, CallError>, Cost) {
        let limits = component.limits();
        let mut host = HostState::new(Arc::clone(settings), component.digest(), limits.clone());
        host.sample_into(component.engine().profile().cloned());
        host.end_by(deadline.clone());
        host.begin_call(grant.log_lines);
        let mut store = Store::new(component.engine().wasmtime(), host);
        store.limiter(|host| host);
        store.set_hostcall_fuel(limits.returned_bytes);
        if let Err(error) = store.set_fuel(grant.fuel) {
            return (Err(CallError::engine(error)), Cost::default());
        }
        store.epoch_deadline_callback(at_tick);
        let instantiated = Self::instantiate(component, &mut store, grant);
        let cost = cost(&store, grant);
        (instantiated.map(|instance| Self { component, store, instance, is_fresh: true }), cost)
    }

    fn instantiate(component: &Component, store: &mut Store<HostState>, grant: Grant) -> Result<Instance, CallError> {
        let watchdog = component.engine().watchdog();
        store.set_epoch_deadline(1);
        store.data_mut().may_take(watchdog.ticks(grant.time));

        let running = watchdog.watch();
        let instantiated = component.pre().instantiate(&mut *store);
        drop(running);

        if let Some(trouble) = store.data_mut().take_trouble() {
            return Err(CallError::engine(trouble));
        }
        // Only what the component did is its fault: its code failed when it started, by a trap or in a function of the
        // host, or its memory is too large. Anything else, such as a full pool or no address space, is the host's trouble.
        instantiated.map_err(|error| {
            let host = store.data();
            let is_in_code = error.is::<Trap>() || error.is::<WasmBacktrace>();
            match is_in_code || host.denied_bytes().is_some() {
                true => {
                    let fault = Fault::of(&error, host.denied_bytes(), grant.fuel, component.limits());
                    fault.after_line(host.last_line()).into()
                }
                false => CallError::engine(error),
            }
        })
    }

    /// Notes from now on which settings are asked for.
    pub(crate) fn note_settings(&mut self) {
        self.store.data_mut().note_settings();
    }

    /// The settings that were asked for since they are noted.
    pub(crate) fn take_asked_settings(&mut self) -> BTreeSet<String> {
        self.store.data_mut().take_asked_settings()
    }

    /// Checks that an export has the type that it is called with.
    pub(crate) fn check_type<P, T>(&mut self, export: &ComponentExportIndex) -> wasmtime::Result<()>
    where
        P: ComponentNamedList + Lower,
        T: ComponentType + Lift + 'static,
        Returned<T>: ComponentNamedList + Lift,
    {
        self.instance.get_typed_func::<P, Returned<T>>(&mut self.store, export).map(drop)
    }

    /// Calls an export within a grant: the first time, that of [`new`](Self::new). Returns the result, and what the call has
    /// cost.
    pub(crate) fn call<P, T>(
        &mut self,
        export: &ComponentExportIndex,
        grant: Grant,
        parameters: P,
    ) -> (Result<T, CallError>, Cost)
    where
        P: ComponentNamedList + Lower,
        T: ComponentType + Lift + 'static,
        Returned<T>: ComponentNamedList + Lift,
    {
        if !std::mem::take(&mut self.is_fresh) {
            if let Err(error) = self.store.set_fuel(grant.fuel) {
                return (Err(CallError::engine(error)), Cost::default());
            }
            self.store.data_mut().begin_call(grant.log_lines);
        }
        let result = self.call_with(export, grant, parameters);
        (result, cost(&self.store, grant))
    }

    fn call_with<P, T>(&mut self, export: &ComponentExportIndex, grant: Grant, parameters: P) -> Result<T, CallError>
    where
        P: ComponentNamedList + Lower,
        T: ComponentType + Lift + 'static,
        Returned<T>: ComponentNamedList + Lift,
    {
        let limits = self.component.limits();
        let function = self
            .instance
            .get_typed_func::<P, Returned<T>>(&mut self.store, export)
            .map_err(|error| Fault::InvalidResult(format!("{error:#}")))?;
        self.store.set_epoch_deadline(1);
        let watchdog = self.component.engine().watchdog();
        self.store.data_mut().may_take(watchdog.ticks(grant.time));

        let running = watchdog.watch();
        let returned = function.call(&mut self.store, parameters);
        drop(running);

        // With memory that the host lacks, the plugin would have gone another way, whether or not it failed.
        if let Some(trouble) = self.store.data_mut().take_trouble() {
            return Err(CallError::engine(trouble));
        }
        match returned {
            Ok((Ok(result),)) => Ok(result),
            Ok((Err(mut message),)) => {
                message.truncate(message.floor_char_boundary(limits.reason_bytes));
                Err(Fault::Failed(message).into())
            }
            Err(error) => {
                let host = self.store.data();
                let fault = Fault::of(&error, host.denied_bytes(), grant.fuel, limits);
                Err(fault.after_line(host.last_line()).into())
            }
        }
    }
}

/// What was used of a grant.
fn cost(store: &Store<HostState>, grant: Grant) -> Cost {
    let host = store.data();
    Cost {
        fuel: grant.fuel.saturating_sub(store.get_fuel().unwrap_or(0)),
        log_lines: host.logged_lines(),
        cut_lines: host.cut_lines(),
        memory_bytes: host.memory_bytes(),
    }
}

/// At each tick of the watchdog while a call runs: whether it may go on.
fn at_tick(mut store: StoreContextMut<'_, HostState>) -> wasmtime::Result<UpdateDeadline> {
    if let Some(profile) = store.data().profile() {
        profile.add(&WasmBacktrace::force_capture(&store));
    }
    Ok(if store.data_mut().tick() { UpdateDeadline::Continue(1) } else { UpdateDeadline::Interrupt })
}
