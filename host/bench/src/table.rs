//! What a race costs in DynamoDB: write units, read units and requests, from the capacity that DynamoDB says it
//! consumed, and the two ways of writing side by side.
//!
//! 100 racers stand for 1,000: a racer's items know nothing of the others', and requests of 25 fill up alike.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use aws_sdk_dynamodb::Client;
use paceline_aws::DynamoDbStore;
use paceline_aws::dynamodb::table::{Billing, create};
use paceline_aws::dynamodb::{DynamoDbConfig, Usage, WriteWith, client};
use paceline_engine::{Engine, Limits};
use paceline_pipeline::model::{Batch, BatchLimits, Pointer};
use paceline_pipeline::rules::{Registry, RulebookFolder};
use paceline_pipeline::summary::Summary;
use paceline_pipeline::window::Window;
use paceline_pipeline::{Pipeline, RetryPolicy, Rulebooks};
use paceline_testbed::dynamodb::unique;

use crate::timing::median;
use crate::{Results, root, simulated};

const RACERS: usize = 100;
const SECONDS: usize = 300;

/// Turns of each way of writing.
const TURNS: usize = 7;

/// The original, by the arithmetic of its tables and functions, for 1,000 racers and 300 seconds: a results item of
/// 14.7 KB is put each second, 15 units each in the table, its local and its global index; at the end each racer's
/// final and best are written, 2 units each in the table with its local index, and 1 in the global one.
const ORIGINAL_WRITE_UNITS: f64 = 300.0 * 45.0 + 1_000.0 * 6.0;

struct Host {
    pipeline: Pipeline<DynamoDbStore>,
    runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

fn config(endpoint: &str, write: WriteWith) -> DynamoDbConfig {
    let mut config: DynamoDbConfig = serde_json::from_value(serde_json::json!({
        "table": unique("bench"), "endpoint": endpoint, "region": "us-east-1",
    }))
    .expect("these are its settings");
    config.write = write;
    config
}

impl Host {
    fn new(endpoint: &str, write: WriteWith) -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        let registry = Registry::open(folder.path()).expect("there is room");
        let engine = Engine::new(Limits::default()).expect("the sandbox starts");
        let rulebooks = Arc::new(Rulebooks::new(engine, registry, Pointer::parse("/classId").expect("it is one")));
        let names = ["telemetry", "output", "last-output", "best-output"];
        let plugins: BTreeMap<_, _> =
            names.iter().map(|name| ((*name).to_owned(), root().join(format!("target/plugins/{name}.wasm")))).collect();
        let events =
            RulebookFolder::new(root().join("examples/alleycat/rulebooks"), plugins, Arc::clone(&rulebooks)).poll();
        assert_eq!(events.expect("they can be read").len(), 6);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the runtime can start");
        let config = config(endpoint, write);
        let store = runtime.block_on(async {
            let client: Client = client(&config).await.expect("the endpoint is there");
            create(&client, &config, Billing::OnDemand).await.expect("a new table");
            DynamoDbStore::new(client, &config)
        });
        let pipeline = Pipeline::new(store, rulebooks, BatchLimits::default(), RetryPolicy::default());
        Self { pipeline, runtime, _folder: folder }
    }

    fn usage(&self) -> Usage {
        self.pipeline.store().usage()
    }

    fn process(&self, batch: &Batch) {
        let done = self.runtime.block_on(self.pipeline.process(batch, None, &mut Summary::default()));
        assert!(done.expect("the table takes it").first_uncommitted.is_none());
    }
}

/// The race in batches of so many seconds.
fn batches(lines: &[Vec<u8>], seconds: usize) -> Vec<Batch> {
    let chunks = lines.chunks(RACERS * seconds).enumerate();
    chunks
        .map(|(at, chunk)| {
            let mut batch = Batch::new("alleycat/shardId-000000000000".into());
            for (nth, line) in chunk.iter().enumerate() {
                batch.push(line, ((at * RACERS * seconds + nth) as u64).into());
            }
            batch
        })
        .collect()
}

fn cost(results: &mut Results, name: &str, usage: Usage) {
    let thousands = (RACERS * SECONDS) as f64 / 1e3;
    results.add(&format!("wcu_per_1000_records_{name}"), usage.write_units / thousands, "write units", "");
    results.add(&format!("rcu_per_1000_records_{name}"), usage.read_units / thousands, "read units", "");
    results.add(&format!("requests_per_1000_records_{name}"), usage.requests as f64 / thousands, "PutItem", "");
}

/// How long this thread, which does all of a host's work, has run on a processor, in microseconds.
fn processor_time() -> f64 {
    let counts = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts it");
    let nanoseconds: u64 =
        counts.split(' ').next().and_then(|count| count.parse().ok()).expect("the first is a number");
    nanoseconds as f64 / 1e3
}

pub(crate) fn run(results: &mut Results) {
    let Ok(endpoint) = std::env::var("PACELINE_TEST_DYNAMODB") else {
        println!("\nwhat a race costs in DynamoDB: left out, there is none here; `make bench` starts one");
        return;
    };
    println!("\na race of {SECONDS} seconds in DynamoDB Local, with its index: consumed capacity");
    let lines = simulated(RACERS, SECONDS);
    // DynamoDB Local tells the capacity of PutItem, and not that of statements, which cost the same.
    for seconds in [1, 5] {
        let host = Host::new(&endpoint, WriteWith::Items);
        batches(&lines, seconds).iter().for_each(|batch| host.process(batch));
        cost(results, &format!("{seconds}s"), host.usage());
    }
    let host = Host::new(&endpoint, WriteWith::Items);
    for windowful in batches(&lines, 1).chunks(15) {
        let mut window = Window::new(windowful[0].shard.clone());
        let mut summary = Summary::default();
        for batch in windowful {
            let accumulated = host.pipeline.accumulate(batch, &mut window, None, &mut summary);
            host.runtime.block_on(accumulated).expect("a sound batch");
        }
        host.runtime.block_on(host.pipeline.flush_window(&window, None, &mut summary)).expect("the table takes it");
    }
    cost(results, "window15", host.usage());
    let original = ORIGINAL_WRITE_UNITS / 300.0;
    results.add("wcu_per_1000_records_original", original, "write units", "by arithmetic, losing what it loses");

    println!("\n{RACERS} groups a batch, written by statements of 25 and by single puts");
    let hosts = [Host::new(&endpoint, WriteWith::Statements), Host::new(&endpoint, WriteWith::Items)];
    let before = hosts.each_ref().map(Host::usage);
    let mut times = [Vec::new(), Vec::new()];
    let mut work = [Vec::new(), Vec::new()];
    for batch in &batches(&lines, 1)[..2 * TURNS] {
        for ((host, times), work) in hosts.iter().zip(&mut times).zip(&mut work) {
            let (started, worked) = (Instant::now(), processor_time());
            host.process(batch);
            times.push(started.elapsed().as_secs_f64() * 1e3);
            work.push((processor_time() - worked) / RACERS as f64);
        }
    }
    let [statements, items] = times.map(|mut times| median(&mut times));
    let [little, much] = work.map(|mut work| median(&mut work));
    let [few, many] = [0, 1].map(|which| hosts[which].usage().since(before[which]).requests as f64);
    results.add("write_statements_ms_per_batch", statements, "ms", "");
    results.add("write_statements_over_items_time", statements / items, "statements/items", "");
    results.add("write_statements_cpu_us_per_group", little, "us", "");
    results.add("write_statements_over_items_cpu", little / much, "statements/items", "");
    results.add("write_statements_over_items_requests", few / many, "statements/items", "");
}
