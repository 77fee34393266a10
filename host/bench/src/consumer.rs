//! A race of 300,000 messages from a stream into the memory store, by polling and by fan-out.
//!
//! A fake of Kinesis in this process responds at once with prepared responses, so that the benchmark measures the
//! consumer: HTTP, the SDK's decoding of JSON and base64, batches, the pipeline. The processor time includes that of the
//! fake, which only copies bytes. Each of the 60 shards has 5,000 messages. The reader limits itself to Kinesis's 2 MB a
//! second and shard, which is ten times the measured rate.
//!
//! - `service`: the fake of Kinesis.

mod service;

use paceline_testbed::rules;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use paceline_aws::kinesis::{Consumer, ConsumerKind, KinesisConfig};
use paceline_pipeline::model::BatchLimits;
use paceline_pipeline::store::MemoryStore;
use paceline_pipeline::{Pipeline, RetryPolicy, Rulebooks};
use tokio::sync::Notify;

pub(crate) use self::service::Service;
use crate::timing::median;
use crate::{Results, print_line, simulated};

const RACERS: usize = 1_000;
const SECONDS: usize = 300;
const SHARDS: usize = 60;
/// Records in a response and in a batch.
const RECORDS_PER_CALL: usize = 2_500;
/// Turns of each kind of consumer. A turn takes one or two seconds.
const TURNS: usize = 7;

pub(crate) fn run(results: &mut Results) {
    print_line(&format!("\na race of 300,000 messages from a stream of {SHARDS} shards into the memory store"));
    let lines = simulated(RACERS, SECONDS);
    // The messages of a racer are in one shard.
    let mut shards = vec![Vec::new(); SHARDS];
    for (at, line) in lines.iter().enumerate() {
        shards[at % RACERS % SHARDS].push(line.as_slice());
    }
    let service = Service::start(&shards, RECORDS_PER_CALL);
    let rulebooks = rules::alleycat();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("the runtime starts");
    let turn = |consumer| {
        let (processor_before, started) = (processor_time(), Instant::now());
        runtime.block_on(race(&service.endpoint, consumer, &rulebooks, lines.len() as u64));
        let took = started.elapsed().as_secs_f64();
        (lines.len() as f64 / took, (processor_time() - processor_before) * 1e9 / lines.len() as f64)
    };
    // The first turn is a warm-up.
    turn(ConsumerKind::Poll);
    let [mut polled, mut again, mut pushed] = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..TURNS {
        polled.push(turn(ConsumerKind::Poll));
        pushed.push(turn(ConsumerKind::FanOut));
        again.push(turn(ConsumerKind::Poll));
    }
    let rate = |turns: &[(f64, f64)]| median(&mut turns.iter().map(|turn| turn.0).collect::<Vec<_>>());
    let cost = |turns: &[(f64, f64)]| median(&mut turns.iter().map(|turn| turn.1).collect::<Vec<_>>());
    results.add("consumer_records_per_second", rate(&polled), "records/s", "polled; limited by the processors");
    results.add("consumer_fan_out_records_per_second", rate(&pushed), "records/s", "");
    results.add("consumer_poll_cpu_ns_per_record", cost(&polled), "ns", "");
    results.add("consumer_poll_cpu_control", cost(&again) / cost(&polled), "A/A", "");
    results.add("consumer_fan_out_cpu_ns_per_record", cost(&pushed), "ns", "");
}

/// Reads all records of the stream.
pub(crate) async fn race(endpoint: &str, consumer: ConsumerKind, rulebooks: &Arc<Rulebooks>, records: u64) {
    let config = KinesisConfig {
        stream: "alleycat".to_owned(),
        region: Some("us-east-1".to_owned()),
        endpoint: Some(endpoint.to_owned()),
        consumer,
        ..KinesisConfig::default()
    };
    let limits = BatchLimits { max_records: RECORDS_PER_CALL, ..BatchLimits::default() };
    let store = MemoryStore::default();
    let pipeline = Arc::new(Pipeline::new(store, Arc::clone(rulebooks), limits.clone(), RetryPolicy::default()));
    let consumer = Consumer::connect(&config, None, limits).await.expect("region and credentials are set");
    let (done, all) = (AtomicU64::new(0), Arc::new(Notify::new()));
    let all_read = Arc::clone(&all);
    let finished = move |finished: &paceline_aws::kinesis::Finished<'_>| {
        assert_eq!(
            (finished.summary.duplicates, finished.summary.dead_letter_count()),
            (0, 0),
            "every message is folded"
        );
        if done.fetch_add(finished.summary.records, Ordering::Relaxed) + finished.summary.records == records {
            all_read.notify_one();
        }
    };
    consumer.run(pipeline, async move { all.notified().await }, finished).await.expect("the stream is read");
}

/// The processor time of all threads of this process, in seconds.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux provides it");
    // The name of the process can contain spaces and ends with the last bracket. Times are in 1/100 s.
    let fields: Vec<&str> =
        stat.rsplit(')').next().expect("split returns at least one part").split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("the field is a number");
    (ticks(11) + ticks(12)) / 100.0
}
