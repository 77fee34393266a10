//! Arrow UDF: a batch of Arrow's columns in, a column out.
//!
//! Its limits are on: memory. It has none on time and on fuel.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{ArrayRef, Float64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use arrow_udf_runtime::wasm::{Config, FunctionHandle, Runtime};

use super::MEMORY_BYTES;
use crate::messages::Batch;

/// The guest, compiled.
pub(crate) struct ArrowUdf {
    runtime: Runtime,
    function: FunctionHandle,
}

impl ArrowUdf {
    pub(crate) fn new(guest: &[u8]) -> Self {
        let mut config = Config::default();
        config.memory_size_limit = Some(MEMORY_BYTES);
        let runtime = Runtime::with_config(guest, config).expect("the guest compiles");
        let function = runtime
            .find_function("output", vec![DataType::Float64, DataType::Float64], DataType::Float64)
            .expect("the guest has the function");
        Self { runtime, function }
    }

    /// A call for all rows, on an instance that is kept.
    pub(crate) fn batch<'a>(&'a self, batch: &Batch) -> impl FnMut() -> Vec<f64> + 'a {
        let columns = columns(batch);
        move || self.score(&self.runtime, &columns)
    }

    /// The same on a fresh instance.
    pub(crate) fn batch_fresh<'a>(&'a self, batch: &Batch) -> impl FnMut() -> Vec<f64> + 'a {
        let columns = columns(batch);
        move || self.score(&self.runtime.clone(), &columns)
    }

    fn score(&self, runtime: &Runtime, columns: &RecordBatch) -> Vec<f64> {
        let scores = runtime.call(&self.function, columns).expect("the guest returns scores");
        scores.column(0).as_primitive::<Float64Type>().values().to_vec()
    }
}

fn columns(batch: &Batch) -> RecordBatch {
    let field = |name| Field::new(name, DataType::Float64, true);
    let schema = Schema::new(vec![field("cadence"), field("resistance")]);
    let column = |values: &Vec<f64>| Arc::new(Float64Array::from(values.clone())) as ArrayRef;
    let columns = vec![column(&batch.cadence), column(&batch.resistance)];
    RecordBatch::try_new(Arc::new(schema), columns).expect("the columns fit the schema")
}
