//! proto
use std::hint::black_box;
use paceline_pipeline::model::{Batch, BatchLimits};
use paceline_pipeline::store::MemoryStore;
use paceline_pipeline::{Pipeline, RetryPolicy};
use paceline_testbed::rules;

pub(crate) fn proto(portions: usize) {
    let lines = crate::simulated(100, 10);
    let mut batch = Batch::new("bench".into());
    lines.iter().enumerate().for_each(|(at, line)| batch.push(line, (at as u64).into()));
    let pipeline =
        Pipeline::new(MemoryStore::default(), rules::alleycat(), BatchLimits::default(), RetryPolicy::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("the runtime starts");
    for _ in 0..portions {
        let evaluation = runtime.block_on(pipeline.evaluate(black_box(&batch))).expect("the batch is evaluated");
        eprintln!("{} writes {} letters", evaluation.writes.len(), evaluation.dead_letters.len());
    }
}
