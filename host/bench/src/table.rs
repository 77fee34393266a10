//! The cost of a race in DynamoDB: write units, read units and requests, by the consumed capacity that DynamoDB reports;
//! and a comparison of the two kinds of writes.
//!
//! 100 racers represent 1,000: the items of different racers are independent, and requests of 25 items are full with
//! both numbers.

use std::time::Instant;

use aws_sdk_dynamodb::Client;
use paceline_aws::DynamoDbStore;
use paceline_aws::dynamodb::table::{Billing, create};
use paceline_aws::dynamodb::{DynamoDbConfig, Usage, WriteWith, client};
use paceline_pipeline::model::{Batch, BatchLimits};
use paceline_pipeline::summary::Summary;
use paceline_pipeline::window::Window;
use paceline_pipeline::{Pipeline, RetryPolicy};
use paceline_testbed::dynamodb::unique;
use paceline_testbed::rules;

use crate::timing::median;
use crate::{Results, print_line, simulated};

const RACERS: usize = 100;
const SECONDS: usize = 300;

/// Turns of each kind of write.
const TURNS: usize = 7;

/// The write units of the original, computed from its tables and functions, for 1,000 racers and 300 seconds. Each second
/// it puts a results item of 14.7 KB: 15 units each in the table, the local and the global index. At the end it writes
/// the final and the best item of each racer: 2 units each in the table with its local index, and 1 in the global index.
const ORIGINAL_WRITE_UNITS: f64 = 300.0 * 45.0 + 1_000.0 * 6.0;

pub(crate) struct Host {
    pipeline: Pipeline<DynamoDbStore>,
    runtime: tokio::runtime::Runtime,
}

pub(crate) fn config(endpoint: &str, write: WriteWith) -> DynamoDbConfig {
    let mut config: DynamoDbConfig = serde_json::from_value(serde_json::json!({
        "table": unique("bench"), "endpoint": endpoint, "region": "us-east-1",
    }))
    .expect("the settings are valid");
    config.write = write;
    config
}

impl Host {
    /// A store on the tables of a configuration, which are created if they do not exist.
    pub(crate) async fn store(config: &DynamoDbConfig) -> DynamoDbStore {
        let client: Client = client(config).await.expect("the settings are complete");
        create(&client, config, Billing::OnDemand).await.expect("the tables can be created");
        DynamoDbStore::new(client, config)
    }

    fn new(endpoint: &str, write: WriteWith) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the runtime starts");
        let store = runtime.block_on(Self::store(&config(endpoint, write)));
        let pipeline = Pipeline::new(store, rules::alleycat_unpacked(), BatchLimits::default(), RetryPolicy::default());
        Self { pipeline, runtime }
    }

    fn usage(&self) -> Usage {
        self.pipeline.store().usage()
    }

    fn process(&self, batch: &Batch) {
        let outcome = self.runtime.block_on(self.pipeline.process(batch, None, &mut Summary::default()));
        assert!(outcome.expect("the batch is processed").first_uncommitted.is_none());
    }
}

/// The race in batches of `seconds` seconds each.
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

/// The processor time of this thread, which does all work of a host, in microseconds.
fn processor_time() -> f64 {
    let counts = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux provides it");
    let nanoseconds: u64 =
        counts.split(' ').next().and_then(|count| count.parse().ok()).expect("the first field is a number");
    nanoseconds as f64 / 1e3
}

pub(crate) fn run(results: &mut Results) {
    let Ok(endpoint) = std::env::var("PACELINE_TEST_DYNAMODB") else {
        print_line(
            "\na race in DynamoDB Local: skipped, because PACELINE_TEST_DYNAMODB is not set; `make bench` starts it",
        );
        return;
    };
    print_line(&format!("\na race of {SECONDS} seconds in DynamoDB Local, with its index: consumed capacity"));
    let lines = simulated(RACERS, SECONDS);
    // DynamoDB Local reports the capacity of PutItem, but not that of statements, which consume the same.
    for seconds in [1, 5] {
        let host = Host::new(&endpoint, WriteWith::Items);
        batches(&lines, seconds).iter().for_each(|batch| host.process(batch));
        cost(results, &format!("{seconds}s"), host.usage());
    }
    let host = Host::new(&endpoint, WriteWith::Items);
    for window_batches in batches(&lines, 1).chunks(15) {
        let mut window = Window::new(window_batches[0].shard.clone());
        let mut summary = Summary::default();
        for batch in window_batches {
            let accumulated = host.pipeline.accumulate(batch, &mut window, None, &mut summary);
            host.runtime.block_on(accumulated).expect("the batch is accumulated");
        }
        host.runtime.block_on(host.pipeline.flush_window(&window, None, &mut summary)).expect("the window is flushed");
    }
    cost(results, "window15", host.usage());
    let original = ORIGINAL_WRITE_UNITS / 300.0;
    results.add(
        "wcu_per_1000_records_original",
        original,
        "write units",
        "computed; without the records that it loses",
    );

    print_line(&format!("\n{RACERS} groups a batch, written by statements of 25 and by single puts"));
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
    let [statements_cpu, items_cpu] = work.map(|mut work| median(&mut work));
    let [statement_requests, item_requests] =
        [0, 1].map(|which| hosts[which].usage().since(before[which]).requests as f64);
    results.add("write_statements_ms_per_batch", statements, "ms", "");
    results.add("write_statements_over_items_time", statements / items, "statements/items", "");
    results.add("write_statements_cpu_us_per_group", statements_cpu, "us", "");
    results.add("write_statements_over_items_cpu", statements_cpu / items_cpu, "statements/items", "");
    results.add("write_statements_over_items_requests", statement_requests / item_requests, "statements/items", "");
}
