//! What packed groups cost in DynamoDB: write units and conflicts with one and with several hosts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use paceline_aws::DynamoDbStore;
use paceline_aws::dynamodb::{Usage, WriteWith};
use paceline_aws::kpl::hash_key;
use paceline_pipeline::model::{Batch, BatchLimits};
use paceline_pipeline::summary::Summary;
use paceline_pipeline::{Pipeline, RetryPolicy, Rulebooks};
use paceline_testbed::rules;

use crate::table::{Host, config};
use crate::{Results, print_line, simulated};

const RACERS: usize = 1_000;
const SECONDS: usize = 60;

/// A second of several hosts is so many times the time of a batch of one: a slow machine has no more conflicts than one on
/// which a batch takes 50 ms.
const SECOND_OVER_BATCH: u32 = 20;

/// Which shard a message comes from.
#[derive(Clone, Copy)]
enum Keys {
    /// The partition key is the racer: the shard follows from its hash.
    Racer,
    /// Any shard.
    Random,
}

/// Measures a race of one, four and ten shards, each read by a host of its own, with keys by racer and random ones.
pub(crate) fn run(results: &mut Results) {
    // Without DynamoDB Local, the part of the table has said that it is skipped.
    let Ok(endpoint) = std::env::var("PACELINE_TEST_DYNAMODB") else { return };
    print_line(&format!("\npacked groups: {RACERS} racers, {SECONDS} seconds, batches of a second; hosts on a table"));
    let lines = simulated(RACERS, SECONDS);
    let alone =
        measure(results, &endpoint, &Race { seconds: batches(&lines, 1, Keys::Racer), second: None }, "packed_1");
    let second = Some(alone * SECOND_OVER_BATCH);
    for shards in [4, 10] {
        for (keys, name) in [(Keys::Racer, "keyed"), (Keys::Random, "random")] {
            let race = Race { seconds: batches(&lines, shards, keys), second };
            measure(results, &endpoint, &race, &format!("packed_{shards}_{name}"));
        }
    }
}

/// A race, as hosts read it.
struct Race {
    /// The batches of each second, one for each host.
    seconds: Vec<Vec<Batch>>,
    /// How long a second takes. `None`: each batch begins when the one before is done.
    second: Option<Duration>,
}

/// Returns the time of a batch.
fn measure(results: &mut Results, endpoint: &str, Race { seconds, second }: &Race, name: &str) -> Duration {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("the runtime starts");
    let config = config(endpoint, WriteWith::Items);
    let rulebooks: Arc<Rulebooks> = rules::alleycat();
    let hosts: Vec<Arc<Pipeline<DynamoDbStore>>> = (0..seconds[0].len())
        .map(|_| {
            let store = runtime.block_on(Host::store(&config));
            let pipeline = Pipeline::new(store, Arc::clone(&rulebooks), BatchLimits::default(), RetryPolicy::default());
            Arc::new(pipeline)
        })
        .collect();
    let second = *second;
    let began = Instant::now();
    let tasks = hosts.iter().enumerate().map(|(nth, host)| {
        let host = Arc::clone(host);
        let batches: Vec<Batch> = seconds.iter().map(|batches| batches[nth].clone()).collect();
        let mut random = fastrand::Rng::with_seed(nth as u64);
        runtime.spawn(async move {
            let (mut conflicts, mut records) = (0, 0);
            for (nth, batch) in batches.iter().enumerate() {
                if let Some(second) = second {
                    // In each second, a host takes its batch at a moment of its own.
                    tokio::time::sleep_until((began + second.mul_f64(nth as f64 + random.f64())).into()).await;
                }
                let mut summary = Summary::default();
                let outcome = host.process(batch, None, &mut summary).await.expect("the batch is processed");
                assert!(outcome.first_uncommitted.is_none(), "a batch is not committed");
                conflicts += summary.conflicts;
                records += batch.records.len();
            }
            (conflicts, records)
        })
    });
    let (mut conflicts, mut records) = (0, 0);
    for task in tasks.collect::<Vec<_>>() {
        let (rivals, of_host) = runtime.block_on(task).expect("the task ends");
        conflicts += rivals;
        records += of_host;
    }
    let time = began.elapsed() / seconds.len() as u32;
    let thousands = records as f64 / 1e3;
    let sum = |of: fn(Usage) -> f64| hosts.iter().map(|host| of(host.store().usage())).sum::<f64>() / thousands;
    let (written, refused) = (sum(|usage| usage.write_units), sum(|usage| usage.refused_units));
    let reads = sum(|usage| usage.read_units);
    results.add(&format!("wcu_per_1000_records_{name}"), written, "write units", "");
    results.add(&format!("refused_wcu_per_1000_records_{name}"), refused, "write units", "by the size of the items");
    results.add(&format!("rcu_per_1000_records_{name}"), reads, "read units", "");
    results.add(&format!("requests_per_1000_records_{name}"), sum(|usage| usage.requests as f64), "requests", "");
    results.add(&format!("conflicts_per_1000_records_{name}"), conflicts as f64 / thousands, "groups", "");
    time
}

/// The batches of each second, one for each shard.
fn batches(lines: &[Vec<u8>], shards: usize, keys: Keys) -> Vec<Vec<Batch>> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut sequence = 0_u64;
    let second = |lines: &[Vec<u8>]| {
        let shard = |number| Batch::new(format!("alleycat/shardId-{number:012}").into());
        let mut batches: Vec<Batch> = (0..shards).map(shard).collect();
        for line in lines {
            let number = match keys {
                Keys::Random => random.usize(..shards),
                Keys::Racer => {
                    let message: serde_json::Value = serde_json::from_slice(line).expect("the simulator writes JSON");
                    let share = u128::MAX / shards as u128;
                    ((hash_key(&message["racerId"].to_string()) / share) as usize).min(shards - 1)
                }
            };
            sequence += 1;
            batches[number].push(line, sequence.into());
        }
        batches
    };
    lines.chunks(RACERS).map(second).collect()
}
