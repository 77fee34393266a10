//! Laws of the simulation and of the formulas.

use paceline_plan::{
    Aggregate, Assumptions, Consumer, Dedup, Deployment, Finals, Function, Keys, Load, Options, Outcome, Packing, Plan,
    Retry, TableMode, Targets, Work, simulate,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::settings::unpacked;

fn loads() -> impl Strategy<Value = Load> {
    let packing = prop_oneof![3 => Just(Packing::None), 1 => (2..500_u32).prop_map(Packing::Messages)];
    let keys = prop_oneof![Just(Keys::Racer), Just(Keys::Random)];
    let finals = prop_oneof![Just(Finals::Together), Just(Finals::Spread)];
    let numbers = (1..3_000_u32, 1..4_u32, 20..2_000_u64, 1..8_u32, 30..200_u32);
    (numbers, packing, keys, finals).prop_map(
        |((racers, rate, message_bytes, races, race_seconds), packing, keys, finals)| {
            let rate = f64::from(rate) / 2.0;
            Load { racers, rate, message_bytes, races, race_seconds, packing, keys, finals, ..Load::default() }
        },
    )
}

fn functions() -> impl Strategy<Value = Function> {
    let batches = prop_oneof![Just(50), 11..10_000_u32];
    let windows = (1..6_u32, prop_oneof![3 => Just(0), 1 => 1..30_u32]);
    let sizes = (128..3_000_u32, 1..60_u32, 1..50_u32, 1..4_u32);
    (batches, windows, sizes).prop_map(
        |(batch_size, (window_seconds, tumbling_seconds), (memory_mb, timeout_seconds, concurrency, factor))| {
            let function =
                Function { batch_size, window_seconds, memory_mb, timeout_seconds, concurrency, ..Function::default() };
            match tumbling_seconds {
                0 => Function { factor, ..function },
                tumbling_seconds => Function { tumbling_seconds, ..function },
            }
        },
    )
}

fn deployments() -> impl Strategy<Value = Deployment> {
    let table = prop_oneof![
        (100..40_000_u32).prop_map(|units| TableMode::OnDemand { units: f64::from(units) }),
        (1..5_000_u32, 1..5_000_u32).prop_map(|(units, index_units)| TableMode::Provisioned {
            units: f64::from(units),
            index_units: f64::from(index_units),
        }),
    ];
    let retry =
        (100..40_000_u64, 1..100_u64, 100..3_000_u64).prop_map(|(deadline_ms, first_wait_ms, longest_wait_ms)| Retry {
            deadline_ms,
            first_wait_ms,
            longest_wait_ms,
        });
    (1..12_u32, functions(), table, retry).prop_map(|(shards, function, table, retry)| Deployment {
        shards,
        consumer: Consumer::Function(function),
        table,
        retry,
        ..Deployment::default()
    })
}

fn seconds(seconds: u32) -> Options {
    Options { seconds, ..Options::default() }
}

/// Without cold starts, which the steady state does not have.
fn work() -> Work {
    Work { cold_start_ms: 0.0, ..Work::default() }
}

fn accounted(outcome: &Outcome) -> u64 {
    outcome.committed + outcome.in_progress + outcome.waiting
}

fn near(a: f64, b: f64, part: f64, absolute: f64) -> bool {
    (a - b).abs() <= part * a.abs().max(b.abs()) + absolute
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is throttled, times out and is delivered again, each message waits, is in progress or is committed.
    #[test]
    fn no_message_is_lost_or_counted_twice(
        load in loads(), deployment in deployments(), seed in 0..9_u64, outage in prop::option::of((0..100_u32, 1..100_u32)),
    ) {
        let options = Options { seconds: 200, seed, outage };
        let outcome = simulate(&load, &deployment, &Work::default(), &options);
        prop_assert_eq!(outcome.arrived, accounted(&outcome));
        prop_assert_eq!(simulate(&load, &deployment, &Work::default(), &options), outcome);
    }

    /// What is written is within what the table had: its credit at the beginning, and its units since then.
    #[test]
    fn no_more_is_written_than_the_table_has(load in loads(), deployment in deployments()) {
        let outcome = simulate(&load, &deployment, &Work::default(), &seconds(200));
        let (table, index) = match deployment.table {
            TableMode::OnDemand { units } => (units * 201.0, units * 201.0),
            TableMode::Provisioned { units, index_units } => (units * 500.0, index_units * 500.0),
        };
        prop_assert!(outcome.table_units as f64 <= table + 1.0, "{} of {table}", outcome.table_units);
        prop_assert!(outcome.index_units as f64 <= index + 1.0, "{} of {index}", outcome.index_units);
    }

    /// A table with more units commits as much, and as soon. Waits are random: a twentieth is theirs.
    #[test]
    fn more_units_never_make_messages_older(load in loads(), deployment in deployments(), times in 1.0..8.0_f64) {
        let more = match deployment.table {
            TableMode::OnDemand { units } => TableMode::OnDemand { units: units * times },
            TableMode::Provisioned { units, index_units } => {
                TableMode::Provisioned { units: units * times, index_units: index_units * times }
            }
        };
        let before = simulate(&load, &deployment, &Work::default(), &seconds(300));
        let more = Deployment { table: more, ..deployment };
        let after = simulate(&load, &more, &Work::default(), &seconds(300));
        prop_assert!(after.age_at_end <= before.age_at_end * 1.05 + 40.0, "{after:#?} after {before:#?}");
        prop_assert!(after.committed as f64 >= before.committed as f64 * 0.95 - 1.0 - most_of_a_batch(&load, &more));
    }

    /// A function with more memory is not slower, if nothing is throttled.
    #[test]
    fn more_memory_never_makes_messages_older(load in loads(), deployment in deployments(), more in 0..2_000_u32) {
        let unlimited = TableMode::OnDemand { units: 1e9 };
        let load = Load { races: load.racers * 10, ..load };
        let with = |more| {
            let function = Function { timeout_seconds: 900, ..deployment.function().unwrap().clone() };
            let function = Function { memory_mb: function.memory_mb + more, ..function };
            let consumer = Consumer::Function(function);
            let deployment = Deployment { consumer, table: unlimited, ..deployment.clone() };
            simulate(&load, &deployment, &work(), &seconds(120))
        };
        let (before, after) = (with(0), with(more));
        prop_assume!(before.throttled == 0 && after.throttled == 0);
        prop_assert!(after.age_at_end <= before.age_at_end + 8.0, "{after:#?} after {before:#?}");
        if before.committed > 0 {
            prop_assert!(after.ages.mean <= before.ages.mean * 1.02 + 0.05, "{after:#?} after {before:#?}");
        }
    }
}

/// Formulas are approximations: of some thousand loads, one or two deviate by up to a tenth. The loads are the same in each run.
fn approximations() -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::with_cases(200) }
}

proptest! {
    #![proptest_config(approximations())]

    /// Where nothing is throttled and no queue is behind, the simulation finds what the formulas say.
    #[test]
    fn the_simulation_agrees_with_the_formulas(load in loads(), deployment in deployments()) {
        let load = Load { races: load.racers * 10, finals: Finals::Spread, ..load };
        // Of a few shared items, a fraction of one counts as one or none in the simulation.
        let aggregates = unpacked();
        let deployment = Deployment { table: TableMode::OnDemand { units: 1e9 }, aggregates, ..deployment };
        let assumptions = Assumptions { work: work(), ..Assumptions::default() };
        let targets = Targets { seconds: 600, outage_seconds: 1, ..Targets::default() };
        let Ok(plan) = Plan::new(&load, &deployment, &assumptions, &targets) else { return Ok(()) };
        let (flow, outcome) = (&plan.flow, &plan.simulated);
        prop_assume!(outcome.throttled == 0 && outcome.rejected == 0 && flow.busy < 0.9 && flow.batch_messages >= 20.0);
        prop_assume!(flow.queues <= deployment.function().unwrap().concurrency);
        // The beginning and the end of the simulation weigh little.
        prop_assume!(flow.interval_seconds <= 60.0);
        // Where windows and intervals are multiples of each other, a window's end has always the same distance to a poll.
        let window = f64::from(deployment.function().unwrap().tumbling_seconds).min(flow.interval_seconds);
        prop_assert!(near(outcome.ages.mean, flow.mean_age_seconds, 0.05, 0.1 + window / 2.0), "age {:?} {}", outcome.ages, flow.mean_age_seconds);
        let units = outcome.table_units as f64 / 600.0;
        prop_assert!(near(units, flow.table_units_per_second, 0.05, 1.0), "units {units} {}", flow.table_units_per_second);
        let index = outcome.index_units as f64 / 600.0;
        prop_assert!(near(index, flow.index_units_per_second, 0.05, 1.0), "index {index} {}", flow.index_units_per_second);
        let batches = outcome.invocations as f64 / 600.0;
        prop_assert!(near(batches, flow.batches_per_second, 0.05, 0.1), "batches {batches} {}", flow.batches_per_second);
        let duration = outcome.mean_duration();
        prop_assert!(near(duration, flow.duration_seconds, 0.05, 0.01), "duration {duration} {}", flow.duration_seconds);
    }

    /// What has a third of its capacity to spare does not fall behind, and catches up after an outage.
    #[test]
    fn a_queue_with_room_to_spare_drains(load in loads(), deployment in deployments(), outage in 1..200_u32) {
        let load = Load { finals: Finals::Spread, ..load };
        let assumptions = Assumptions { work: work(), ..Assumptions::default() };
        let targets = Targets { outage_seconds: outage, seconds: 400, ..Targets::default() };
        let Ok(plan) = Plan::new(&load, &deployment, &assumptions, &targets) else { return Ok(()) };
        let function = deployment.function().unwrap();
        prop_assume!(plan.flow.capacity().messages_per_second > 1.5 * plan.flow.messages_per_second);
        prop_assume!(plan.simulated.rejected == 0 && plan.flow.queues <= function.concurrency);
        prop_assume!(plan.first_full.as_ref().unwrap().part() < 0.67);
        // An interval is that of the mapping, or longer: of whole packed records.
        let interval = plan.flow.interval_seconds.max(f64::from(function.window_seconds));
        let window = f64::from(function.tumbling_seconds) + 2.0 * interval + 3.0;
        prop_assert!(plan.simulated.age_at_end <= window, "{}", plan);
        prop_assert!(plan.outage.simulated_seconds.is_some(), "{}", plan);
    }
}

/// Messages of the batches that may be open at the end.
fn most_of_a_batch(load: &Load, deployment: &Deployment) -> f64 {
    let function = deployment.function().unwrap();
    let queues = f64::from(deployment.shards * function.factor);
    let window = f64::from(function.tumbling_seconds.max(1)) * load.messages_per_second();
    (f64::from(function.batch_size) * load.messages_per_record() * queues).max(window)
}

#[test]
fn an_hour_of_a_race_is_simulated_in_well_under_a_second() {
    let began = std::time::Instant::now();
    let outcome = simulate(&Load::default(), &Deployment::default(), &Work::default(), &seconds(3_600));
    assert_eq!(outcome.arrived, 3_600_000);
    assert!(began.elapsed().as_millis() < 1_000, "{:?}", began.elapsed());
}

#[test]
fn sequence_dedup_and_packing_exclude_a_factor() {
    let with = |load: &Load, aggregates: Vec<Aggregate>, function: Function| {
        let deployment = Deployment { consumer: Consumer::Function(function), aggregates, ..Deployment::default() };
        Plan::new(load, &deployment, &Assumptions::default(), &Targets::default()).err().map(|error| error.to_string())
    };
    let factor = Function { factor: 2, ..Function::default() };
    let random = Load { keys: Keys::Random, ..Load::default() };
    assert_eq!(with(&random, Aggregate::alleycat(), factor.clone()), None);
    let sequence = vec![Aggregate { dedup: Dedup::Sequence, ..Aggregate::new("last-output", 120) }];
    let error = with(&random, sequence, factor.clone()).unwrap();
    assert!(error.contains("needs ordinal dedup"), "{error}");
    let packed = Load { packing: Packing::Messages(300), ..Load::default() };
    let error = with(&packed, Aggregate::alleycat(), factor).unwrap();
    assert!(error.contains("does not work with packed records"), "{error}");
    let window = Function { factor: 2, tumbling_seconds: 15, ..Function::default() };
    let error = with(&random, Aggregate::alleycat(), window).unwrap();
    assert!(error.contains("a tumbling window needs a parallelization factor of 1"), "{error}");
    let none = Function { window_seconds: 0, ..Function::default() };
    let error = with(&random, Aggregate::alleycat(), none).unwrap();
    assert!(error.contains("needs a batching window"), "{error}");
}
