//! The calls of one batch: one instance, replaced after each call that fails.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use wasmtime::component::{ComponentNamedList, ComponentType, Lift, Lower};

use crate::answer::Answer;
use crate::bisect::{Bisected, bisect};
use crate::budget::{Budget, CallsUntil, Cost, Grant};
use crate::call::{PluginInstance, Returned};
use crate::contract::Function;
use crate::fault::{CallError, EngineError, Fault};
use crate::limits::Work;
use crate::plugin::Plugin;

/// What a session's call gives. After an error, which blames no row, the batch can be processed again.
pub type Called<T> = Result<T, EngineError>;

/// What calls cost, those that failed included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Calls.
    pub calls: u64,
    /// Failed calls, by [`Fault::kind`]. A call that fails for many rows is repeated for fewer.
    pub faults: BTreeMap<&'static str, u64>,
    /// Fuel.
    pub fuel: u64,
    /// Time, that of instantiation included.
    pub time: Duration,
    /// Bytes of all memories of an instance: those of the largest one.
    pub memory_bytes: usize,
    /// Log lines, dropped ones included.
    pub log_lines: u64,
    /// Log lines of which the end was cut off.
    pub cut_lines: u64,
}

impl Usage {
    /// Adds the usage of other calls.
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.fuel += other.fuel;
        self.time += other.time;
        self.memory_bytes = self.memory_bytes.max(other.memory_bytes);
        self.log_lines += other.log_lines;
        self.cut_lines += other.cut_lines;
        for (kind, count) in &other.faults {
            *self.faults.entry(kind).or_default() += count;
        }
    }
}

/// The calls of one batch to a plugin in the role `R`.
pub struct Session<'p, R> {
    plugin: &'p Plugin,
    pub(crate) role: &'p R,
    /// Made at the first call, and taken away by each call that fails.
    instance: Option<PluginInstance<'p>>,
    usage: Usage,
    /// The fuel of the calls that succeeded.
    sound_fuel: u64,
    budget: Budget,
}

impl<'p, R> Session<'p, R> {
    pub(crate) fn new(plugin: &'p Plugin, role: &'p R) -> Self {
        let budget = Budget::new(plugin.limits(), plugin.call_deadline().clone());
        Self { plugin, role, instance: None, usage: Usage::default(), sound_fuel: 0, budget }
    }

    /// No call begins or goes on after that moment.
    pub fn until(mut self, until: Option<impl Into<CallsUntil>>) -> Self {
        self.budget.set_deadline(until.map(Into::into));
        self
    }

    /// The plugin that it calls.
    pub fn plugin(&self) -> &'p Plugin {
        self.plugin
    }

    /// What the calls cost so far.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Makes calls for pieces of rows and, where one fails, for parts of it. All of them together may cost a multiple of
    /// what one call with all of this work may, and their answers may have a multiple of its bytes.
    pub(crate) fn bisect<T>(
        &mut self,
        all: Work,
        pieces: Vec<Range<usize>>,
        mut attempt: impl FnMut(&mut Self, Range<usize>) -> Result<T, CallError>,
    ) -> Result<Bisected<T>, EngineError> {
        let limits = self.plugin.limits();
        self.budget.add(limits, all);
        let (planned, before, sound_before) = (pieces.len() as u64, self.usage.clone(), self.sound_fuel);
        let bisected = bisect(pieces, |rows| attempt(self, rows))?;
        if let Some(fault) = bisected.halved()
            && let Some(limit) = fault.limit_to_raise(limits.is_mostly_by_byte(all))
        {
            let (fuel, sound) = (self.usage.fuel - before.fuel, self.sound_fuel - sound_before);
            let calls = (self.usage.calls - before.calls, planned);
            self.plugin.report_halves(fault, calls, fuel as f64 / sound.max(1) as f64, limit);
        }
        Ok(bisected)
    }

    /// Calls a function and checks its result. After an invalid result the instance is dropped, as after a trap.
    pub(crate) fn call<P, T>(
        &mut self,
        function: Function,
        work: Work,
        parameters: P,
        check: impl FnOnce(&T) -> Result<(), Fault>,
    ) -> Result<T, CallError>
    where
        P: ComponentNamedList + Lower,
        T: Answer + ComponentType + Lift + 'static,
        Returned<T>: ComponentNamedList + Lift,
    {
        let started = Instant::now();
        let grant = self.budget.grant(self.plugin.limits(), work)?;
        let mut cost = Cost::default();
        let result = self.call_within(function, (grant, &mut cost), parameters, check);
        let result = result.map_err(|error| self.budget.blame(error, started.elapsed()));
        let result = result.and_then(|answer| {
            self.budget.take_answer(answer.text_bytes(), work)?;
            Ok(answer)
        });
        self.budget.take(cost, started.elapsed());
        self.usage.calls += 1;
        self.usage.fuel += cost.fuel;
        self.usage.time += started.elapsed();
        self.usage.memory_bytes = self.usage.memory_bytes.max(cost.memory_bytes);
        self.usage.log_lines += u64::from(cost.log_lines);
        self.usage.cut_lines += u64::from(cost.cut_lines);
        match &result {
            Ok(_) => self.sound_fuel += cost.fuel,
            Err(CallError::Fault(fault)) => *self.usage.faults.entry(fault.kind()).or_default() += 1,
            Err(CallError::Engine(_)) => {}
        }
        result
    }

    fn call_within<P, T>(
        &mut self,
        function: Function,
        (grant, cost): (Grant, &mut Cost),
        parameters: P,
        check: impl FnOnce(&T) -> Result<(), Fault>,
    ) -> Result<T, CallError>
    where
        P: ComponentNamedList + Lower,
        T: ComponentType + Lift + 'static,
        Returned<T>: ComponentNamedList + Lift,
    {
        // Taken out, and put back only if the call succeeds.
        let (mut instance, grant) = match self.instance.take() {
            Some(instance) => (instance, grant),
            None => {
                let started = Instant::now();
                let (instance, used) = self.plugin.instantiate(grant, self.budget.call_deadline());
                *cost = used;
                (instance?, Grant { time: grant.time.saturating_sub(started.elapsed()), ..grant })
            }
        };
        let (result, used) = instance.call(self.plugin.export(function), grant, parameters);
        *cost = used;
        let result = result?;
        check(&result)?;
        self.instance = Some(instance);
        Ok(result)
    }
}

impl<R> Drop for Session<'_, R> {
    fn drop(&mut self) {
        let (dropped, digest) = (self.budget.dropped_lines(), self.plugin.digest());
        // With a limit of 0, nothing of the plugin is logged, not even that.
        if dropped > 0 && self.plugin.limits().log_lines > 0 {
            tracing::warn!(target: "plugin", %digest, "{dropped} more lines dropped (limit `log-lines`)");
        }
    }
}
