//! A list of records through the component model, in the sandbox that paceline uses, with its version and its settings.
//! The guest reads the JSON.
//!
//! The limits are paceline's: memory, fuel, time and stack.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use wasmtime::component::{Component, ComponentType, Func, InstancePre, Linker, Lower};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store, StoreLimits,
    StoreLimitsBuilder,
};
use wit_component::ComponentEncoder;

use super::{CALL_TIME, MEMORY_BYTES, fuel};
use crate::messages::Batch;

/// How often the clock of the limit on time ticks.
const TICK: Duration = Duration::from_millis(100);

/// A record of `guests/records/wit`.
#[derive(ComponentType, Lower)]
#[component(record)]
struct Message<'a> {
    payload: &'a [u8],
}

/// The guest, compiled.
pub(crate) struct Records {
    instance_pre: InstancePre<StoreLimits>,
    /// The clock ends with it.
    _clock: SyncSender<()>,
}

impl Records {
    /// `guest` is a core module with the metadata of wit-bindgen.
    pub(crate) fn new(guest: &[u8]) -> Self {
        let encoder = ComponentEncoder::default().validate(true).module(guest);
        let component = encoder.expect("the guest is a module").encode().expect("the module becomes a component");
        let engine = Engine::new(&config()).expect("the sandbox starts");
        let component = Component::new(&engine, component).expect("the guest compiles");
        let instance_pre = Linker::new(&engine).instantiate_pre(&component).expect("the guest imports nothing");
        let (clock, ended) = sync_channel(0);
        std::thread::spawn(move || {
            while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                engine.increment_epoch();
            }
        });
        Self { instance_pre, _clock: clock }
    }

    fn instance(&self) -> (Store<StoreLimits>, Func) {
        let limits = StoreLimitsBuilder::new().memory_size(MEMORY_BYTES).build();
        let mut store = Store::new(self.instance_pre.component().engine(), limits);
        store.limiter(|limits| limits);
        store.set_fuel(fuel(0)).expect("fuel is counted");
        store.set_epoch_deadline(CALL_TIME.div_duration_f64(TICK).ceil() as u64);
        let instance = self.instance_pre.instantiate(&mut store).expect("the guest is instantiated");
        let score = instance.get_func(&mut store, "score").expect("the guest exports the function");
        (store, score)
    }

    /// A call for all messages, on an instance that is kept.
    pub(crate) fn batch<'a>(&'a self, batch: &'a Batch) -> impl FnMut() -> Vec<f64> + 'a {
        let (mut store, score) = self.instance();
        move || call(&mut store, score, batch)
    }

    /// The same on a fresh instance.
    pub(crate) fn batch_fresh(&self, batch: &Batch) -> Vec<f64> {
        let (mut store, score) = self.instance();
        call(&mut store, score, batch)
    }
}

fn call(store: &mut Store<StoreLimits>, score: Func, batch: &Batch) -> Vec<f64> {
    store.set_fuel(fuel(batch.rows())).expect("fuel is counted");
    store.set_epoch_deadline(CALL_TIME.div_duration_f64(TICK).ceil() as u64);
    let messages: Vec<_> = batch.messages().map(|payload| Message { payload }).collect();
    let score = score.typed::<(&[Message<'_>],), (Result<Vec<f64>, String>,)>(&*store).expect("the types are equal");
    let (scores,) = score.call(&mut *store, (&messages,)).expect("the call succeeds");
    scores.expect("the guest returns scores")
}

/// The settings of paceline's sandbox. NaNs are left as the processor makes them: paceline makes them the same everywhere.
fn config() -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.max_memory_size(MEMORY_BYTES).linear_memory_keep_resident(2 << 20).table_keep_resident(64 << 10);
    pool.pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .consume_fuel(true)
        .epoch_interruption(true)
        .relaxed_simd_deterministic(true)
        .max_wasm_stack(paceline_engine::limits::STACK_BYTES)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}
