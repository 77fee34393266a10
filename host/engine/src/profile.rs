//! Where calls spend their time: which functions are running when the watchdog ticks.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wasmtime::{FrameInfo, WasmBacktrace};

/// How often the running functions are noted. A tick costs some microseconds; a call of 10,000 rows has a few.
pub(crate) const EVERY: Duration = Duration::from_millis(1);

/// Bytes of a function's name that are kept: generic ones can be long.
const NAME_BYTES: usize = 200;

/// What samples of running calls have shown. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Profile(Arc<Mutex<Samples>>);

#[derive(Debug, Default)]
struct Samples {
    count: u64,
    functions: BTreeMap<String, (u64, u64)>,
    named: bool,
}

/// A function of a plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfiledFunction {
    /// Its name or, where the component has none, its number.
    pub name: String,
    /// The part of the samples in which it was running itself, from 0 to 1.
    pub own: f64,
    /// The part of the samples in which it or a function that it called was running.
    pub with_callees: f64,
}

impl Profile {
    /// Notes the functions that are running, the innermost first.
    pub(crate) fn add(&self, backtrace: &WasmBacktrace) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let names: Vec<String> = backtrace.frames().iter().map(name).collect();
        let Some(innermost) = names.first() else { return };
        samples.count += 1;
        samples.named |= backtrace.frames().iter().any(|frame| frame.func_name().is_some());
        samples.functions.entry(innermost.clone()).or_default().0 += 1;
        // A function that calls itself counts once.
        for name in names.into_iter().collect::<HashSet<_>>() {
            samples.functions.entry(name).or_default().1 += 1;
        }
    }

    /// The number of samples.
    pub fn samples(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// Whether the component has names of functions.
    pub fn is_named(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).named
    }

    /// The functions, those first that were running themselves most often.
    pub fn functions(&self) -> Vec<ProfiledFunction> {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let part = |count: u64| count as f64 / samples.count.max(1) as f64;
        let function = |(name, (own, all)): (&String, &(u64, u64))| ProfiledFunction {
            name: name.clone(),
            own: part(*own),
            with_callees: part(*all),
        };
        let mut functions: Vec<_> = samples.functions.iter().map(function).collect();
        functions.sort_by(|one, other| {
            let by_time = (other.own, other.with_callees).partial_cmp(&(one.own, one.with_callees));
            by_time.unwrap_or(std::cmp::Ordering::Equal)
        });
        functions
    }
}

fn name(frame: &FrameInfo) -> String {
    let mut name = match frame.func_name() {
        Some(name) => format!("{:#}", rustc_demangle::demangle(name)),
        None => format!("function {}", frame.func_index()),
    };
    name.truncate(name.floor_char_boundary(NAME_BYTES));
    name
}
