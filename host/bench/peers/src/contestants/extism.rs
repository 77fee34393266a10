//! Extism: bytes in, bytes out. The guest reads the JSON.
//!
//! Its limits are on: memory, time and fuel. Its memory is a multiple of pages, and it gives each call the same fuel.

use extism::{CompiledPlugin, Manifest, Plugin, PluginBuilder, Wasm};

use super::{CALL_TIME, MEMORY_BYTES, fuel, scores_of};
use crate::messages::Batch;

const PAGE_BYTES: usize = 64 << 10;

/// The guest, compiled.
pub(crate) struct Extism(CompiledPlugin);

impl Extism {
    /// `most_rows` are those of the largest batch.
    pub(crate) fn new(guest: &[u8], most_rows: usize) -> Self {
        let manifest = Manifest::new([Wasm::data(guest)])
            .with_memory_max((MEMORY_BYTES / PAGE_BYTES) as u32)
            .with_timeout(CALL_TIME)
            .disallow_all_hosts();
        let builder = PluginBuilder::new(manifest).with_fuel_limit(fuel(most_rows)).with_cache_disabled();
        Self(builder.compile().expect("the guest compiles"))
    }

    fn instance(&self) -> Plugin {
        Plugin::new_from_compiled(&self.0).expect("the guest is instantiated")
    }

    /// A call for all messages, on an instance that is kept.
    pub(crate) fn batch(&self, batch: &Batch) -> impl FnMut() -> Vec<f64> {
        let mut plugin = self.instance();
        move || scores_of(call(&mut plugin, "batch", &batch.lines))
    }

    /// The same on a fresh instance.
    pub(crate) fn batch_fresh(&self, batch: &Batch) -> Vec<f64> {
        scores_of(call(&mut self.instance(), "batch", &batch.lines))
    }

    /// A call for each message, on an instance that is kept.
    pub(crate) fn records(&self, batch: &Batch) -> impl FnMut() -> Vec<f64> {
        let mut plugin = self.instance();
        move || batch.messages().map(|message| scores_of(call(&mut plugin, "record", message))[0]).collect()
    }

    /// A call for both columns as bytes, on an instance that is kept.
    pub(crate) fn columns(&self, batch: &Batch) -> impl FnMut() -> Vec<f64> {
        let mut plugin = self.instance();
        move || {
            let columns = batch.cadence.iter().chain(&batch.resistance);
            let columns: Vec<u8> = columns.flat_map(|value| value.to_le_bytes()).collect();
            scores_of(call(&mut plugin, "columns", &columns))
        }
    }
}

fn call<'p>(plugin: &'p mut Plugin, function: &str, input: &[u8]) -> &'p [u8] {
    plugin.call(function, input).expect("the guest returns scores")
}
