//! The outcome is that of an undisturbed local run, whatever fails and however often records are delivered.

use std::sync::Arc;
use std::time::Duration;

use paceline_simulator::{PartitionKey, Race};
use paceline_testbed::dynamodb::endpoint;
use paceline_testbed::lambda::Function;
use paceline_testbed::mapping::{Mapping, Report};
use paceline_testbed::proxy::{FaultProxy, Faults, Injected};
use paceline_testbed::require;

use crate::support::{DedupMode, Deployment, Killer, Message, put, race, stream};

/// Faults in a tenth of all requests.
fn faults() -> Faults {
    Faults {
        throttle: 0.04,
        server_error: 0.02,
        reset_before: 0.02,
        reset_after: 0.02,
        partial: 0.05,
        ..Faults::default()
    }
}

/// Runs one race with the faults of a seed.
fn run(seed: u64, dedup: DedupMode, factor: usize, window: Option<u32>, size: (u32, u32)) -> (Report, Injected) {
    let (racers, seconds) = size;
    let key = if dedup == DedupMode::Ordinal { PartitionKey::Random } else { PartitionKey::Racer };
    // Only ordinal dedup handles producers that send twice.
    let duplicates = if dedup == DedupMode::Ordinal { 3.0 } else { 0.0 };
    let race_of = Race { racers, seconds, class: 3, race: 131, seed: seed as u32, key, errors: 2.0, duplicates };
    let messages: Vec<Message> = race(&race_of);

    // Shards are split and merged in the middle of the race.
    let mut rng = fastrand::Rng::with_seed(seed);
    let middle = rng.usize(messages.len() / 4..messages.len() * 3 / 4);
    let mut stream = stream(&messages[..middle], 4);
    stream.split(rng.usize(0..2));
    stream.merge(2, 3);
    put(&mut stream, &messages[middle..]);

    let deployment = Deployment::new(dedup).tallied(dedup);
    let proxy = FaultProxy::start(&endpoint(), faults(), seed);
    let function = Arc::new(deployment.function(&proxy.endpoint()));
    let killer = Killer::new(&proxy, &function);
    let chaos = move |_: &Function, rng: &mut fastrand::Rng| {
        if rng.f64() < 0.1 {
            killer.after(rng.u64(0..12));
        }
    };
    let mapping = Mapping {
        batch_size: rng.usize(10..200),
        parallelization_factor: factor,
        tumbling_window: window,
        bisect: rng.bool(),
        report_batch_item_failures: true,
        timeout: Duration::from_secs(30),
        max_concurrency: 4,
        seed,
        deliver_twice: 0.1,
        chaos: Some(Arc::new(chaos)),
        ..Mapping::default()
    };
    let report = mapping.run(&stream, &function);
    assert!(report.failures.is_empty(), "seed {seed}: {report:?}");
    deployment.outcome().must_be(&deployment.local(&messages), &format!("seed {seed}"));
    (report, proxy.counts().injected)
}

/// The number of seeds of a soak test.
fn soak() -> Option<u64> {
    Some(std::env::var("PACELINE_SOAK_SEEDS").ok()?.parse().expect("PACELINE_SOAK_SEEDS is a number"))
}

fn seeds(first: u64, dedup: DedupMode, factor: usize, window: Option<u32>) {
    let (seeds, size) = soak().map_or((10, (8, 30)), |seeds| (seeds, (50, 120)));
    let (mut deaths, mut duplicates, mut retries, mut faults, mut after) = (0, 0, 0, 0, 0);
    for seed in first * seeds..(first + 1) * seeds {
        let (report, injected) = run(seed, dedup, factor, window, size);
        deaths += report.deaths;
        duplicates += report.duplicates;
        retries += report.retries;
        faults += injected.total();
        after += injected.resets_after + injected.errors_after;
    }
    // Not every seed has every fault, but all of them together do.
    let all = [deaths, duplicates, retries, faults, after];
    assert!(
        all.iter().all(|count| *count > 0),
        "deaths, duplicates, retries, faults, faults after the effect: {all:?}"
    );
}

macro_rules! seeds_of {
    ($($name:ident: $first:literal, $dedup:ident, $factor:literal, $window:expr;)*) => {
        $(#[test]
        fn $name() {
            require!(Plugins, DynamoDbLocal, UtilLinux);
            seeds($first, DedupMode::$dedup, $factor, $window);
        })*
    };
}

seeds_of! {
    random_keys_and_ordinal_dedup_at_factor_10_seeds_0_to_9: 0, Ordinal, 10, None;
    random_keys_and_ordinal_dedup_at_factor_10_seeds_10_to_19: 1, Ordinal, 10, None;
    racers_keys_and_sequence_dedup_seeds_20_to_29: 2, Sequence, 1, None;
    racers_keys_and_sequence_dedup_seeds_30_to_39: 3, Sequence, 1, None;
    racers_keys_and_sequence_dedup_at_factor_10_seeds_40_to_49: 4, Sequence, 10, None;
    windows_and_ordinal_dedup_seeds_50_to_59: 5, Ordinal, 1, Some(15);
    windows_and_sequence_dedup_seeds_60_to_69: 6, Sequence, 1, Some(15);
}
