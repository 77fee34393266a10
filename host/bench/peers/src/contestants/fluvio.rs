//! Fluvio's SmartEngine, as its broker runs a SmartModule: records in Fluvio's encoding in, records out. The guest reads
//! the JSON.
//!
//! Its limits are on: memory. It counts fuel, and gives each call more than any call uses. It has no limit on time.

use fluvio_smartengine::{SmartEngine, SmartModuleChainBuilder, SmartModuleConfig};
use fluvio_smartmodule::dataplane::smartmodule::SmartModuleInput;
use fluvio_smartmodule::{Record, SMARTMODULE_TIMESTAMPS_VERSION};

use super::{MEMORY_BYTES, scores_of};
use crate::messages::Batch;

/// The engine, and the guest: a chain compiles it.
pub(crate) struct Fluvio {
    engine: SmartEngine,
    guest: Vec<u8>,
}

impl Fluvio {
    pub(crate) fn new(guest: Vec<u8>) -> Self {
        Self { engine: SmartEngine::new(), guest }
    }

    /// A call for all messages, on an instance that is kept. The messages are encoded before, as the broker stores them.
    pub(crate) fn batch(&self, batch: &Batch) -> impl FnMut() -> Vec<f64> + use<> {
        let config = SmartModuleConfig::builder().smartmodule_names(vec!["output".to_owned()]).build();
        let mut builder = SmartModuleChainBuilder::default();
        builder.add_smart_module(config.expect("the configuration is complete"), self.guest.clone());
        builder.set_store_memory_limit(MEMORY_BYTES);
        let mut chain = builder.initialize(&self.engine).expect("the guest compiles");
        let records = batch.messages().map(|message| Record::new(message.to_vec())).collect();
        let encoded = SmartModuleInput::try_from_records(records, SMARTMODULE_TIMESTAMPS_VERSION);
        let encoded = encoded.expect("records are encoded").into_raw_bytes();
        move || {
            let output =
                chain.process(SmartModuleInput::new(encoded.clone(), 0, 0)).expect("the guest returns records");
            assert!(output.error.is_none(), "no record fails");
            output.successes.iter().map(|record| scores_of(record.value().as_ref())[0]).collect()
        }
    }
}
