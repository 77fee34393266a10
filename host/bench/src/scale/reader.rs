//! A process that reads a stream into the memory store. The stream is a server in another process.

use super::axis::{Job, RECORDS_OF_A_SHARD};
use super::host::rulebooks;
use super::process::{Cost, Meter};
use crate::consumer::race;

use paceline_aws::kinesis::ConsumerKind;

pub(super) fn run(job: &Job) -> Cost {
    let records = (job.load.shards * RECORDS_OF_A_SHARD) as u64;
    let mut meter = Meter::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("the runtime starts");
    let rulebooks = runtime.block_on(rulebooks(&job.registry));
    meter.start_clock();
    runtime.block_on(race(&job.endpoint, ConsumerKind::Poll, &rulebooks, records));
    meter.stop(records)
}
