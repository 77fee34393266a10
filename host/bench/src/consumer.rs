//! A race of 300,000 messages from a stream into the store in memory: polled, and by fan-out.
//!
//! The stream is a few lines in this process that answer at once with what was written before, so that the consumer is
//! what is measured: HTTP, the SDK's reading of the JSON and the base64, batches, the pipeline. Its processor time
//! includes the other end's, which only copies bytes. Each of the 60 shards has 5,000 messages; Kinesis's limit of 2 MB a
//! second and shard, which the reader keeps to by itself, leaves room for ten times what comes out.
//!
//! - `service`: the other end.

mod service;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use paceline_aws::kinesis::{Consumer, ConsumerKind, KinesisConfig};
use paceline_engine::{Engine, Limits};
use paceline_pipeline::model::{BatchLimits, Pointer};
use paceline_pipeline::rules::{Registry, RulebookFolder};
use paceline_pipeline::store::MemoryStore;
use paceline_pipeline::{Pipeline, RetryPolicy, Rulebooks};
use tokio::sync::Notify;

use self::service::Service;
use crate::timing::median;
use crate::{Results, root, simulated};

const RACERS: usize = 1_000;
const SECONDS: usize = 300;
const SHARDS: usize = 60;
/// Records of an answer and of a batch.
const RECORDS_A_CALL: usize = 2_500;
/// Turns of each way. One takes a second or two.
const TURNS: usize = 7;

pub(crate) fn run(results: &mut Results) {
    println!("\na race of 300,000 messages from a stream of {SHARDS} shards into the store in memory");
    let lines = simulated(RACERS, SECONDS);
    // A racer's messages go to one shard.
    let mut shards = vec![Vec::new(); SHARDS];
    for (at, line) in lines.iter().enumerate() {
        shards[at % RACERS % SHARDS].push(line.as_slice());
    }
    let service = Service::start(&shards, RECORDS_A_CALL);
    let rulebooks = rulebooks();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("it starts");
    let turn = |consumer| {
        let (busy, began) = (processor_time(), Instant::now());
        runtime.block_on(race(&service.endpoint, consumer, &rulebooks, lines.len() as u64));
        let took = began.elapsed().as_secs_f64();
        (lines.len() as f64 / took, (processor_time() - busy) * 1e9 / lines.len() as f64)
    };
    // To warm up.
    turn(ConsumerKind::Poll);
    let [mut polled, mut again, mut pushed] = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..TURNS {
        polled.push(turn(ConsumerKind::Poll));
        pushed.push(turn(ConsumerKind::FanOut));
        again.push(turn(ConsumerKind::Poll));
    }
    let rate = |turns: &[(f64, f64)]| median(&mut turns.iter().map(|turn| turn.0).collect::<Vec<_>>());
    let cost = |turns: &[(f64, f64)]| median(&mut turns.iter().map(|turn| turn.1).collect::<Vec<_>>());
    results.add("consumer_records_per_second", rate(&polled), "records/s", "polled; the processors are the limit");
    results.add("consumer_fan_out_records_per_second", rate(&pushed), "records/s", "");
    results.add("consumer_poll_cpu_ns_per_record", cost(&polled), "ns", "");
    results.add("consumer_poll_cpu_control", cost(&again) / cost(&polled), "A/A", "");
    results.add("consumer_fan_out_cpu_ns_per_record", cost(&pushed), "ns", "");
}

/// Reads the stream to its end.
async fn race(endpoint: &str, consumer: ConsumerKind, rulebooks: &Arc<Rulebooks>, records: u64) {
    let config = KinesisConfig {
        stream: "alleycat".to_owned(),
        region: Some("us-east-1".to_owned()),
        endpoint: Some(endpoint.to_owned()),
        consumer,
        ..KinesisConfig::default()
    };
    let limits = BatchLimits { max_records: RECORDS_A_CALL, ..BatchLimits::default() };
    let store = MemoryStore::default();
    let pipeline = Arc::new(Pipeline::new(store, Arc::clone(rulebooks), limits.clone(), RetryPolicy::default()));
    let consumer = Consumer::connect(&config, None, limits).await.expect("it has a region and credentials");
    let (done, all) = (AtomicU64::new(0), Arc::new(Notify::new()));
    let told = Arc::clone(&all);
    let finished = move |finished: &paceline_aws::kinesis::Finished<'_>| {
        assert_eq!((finished.summary.duplicates, finished.summary.dead_letter_count()), (0, 0), "every message counts");
        if done.fetch_add(finished.summary.records, Ordering::Relaxed) + finished.summary.records == records {
            told.notify_one();
        }
    };
    consumer.run(pipeline, async move { all.notified().await }, finished).await.expect("the stream is read");
}

fn rulebooks() -> Arc<Rulebooks> {
    let folder = tempfile::tempdir().expect("there is room for temporary files").keep();
    let engine = Engine::new(Limits::default()).expect("the sandbox starts");
    let registry = Registry::open(&folder).expect("it can be written");
    let route = Pointer::parse("/classId").expect("it is one");
    let rulebooks = Arc::new(Rulebooks::new(engine, registry, route));
    let plugins = ["telemetry", "output", "last-output", "best-output"];
    let plugins = plugins.map(|name| (name.to_owned(), root().join(format!("target/plugins/{name}.wasm"))));
    let alleycat = root().join("examples/alleycat/rulebooks");
    RulebookFolder::new(alleycat, plugins.into_iter().collect(), Arc::clone(&rulebooks))
        .poll()
        .expect("they can be read");
    rulebooks
}

/// Seconds of processor time that this process has taken, in all its threads.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("it tells");
    // The name may have spaces; it ends with the last bracket. Times count in hundredths of a second.
    let fields: Vec<&str> = stat.rsplit(')').next().expect("there is one").split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}
