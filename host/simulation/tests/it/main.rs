//! Seeds of the simulation, and the bugs that are planted in it.

use std::sync::{Arc, LazyLock};

use paceline_simulation::{Failure, Finding, Options, Plan, Plant, Report, Setup, Torture, run, run_twice, shrink};
use paceline_testbed::{environment, plugins, require};

/// Seeds that every test run tries, each twice.
const SEEDS: u64 = 200;
/// Seeds of the second tier: each call of the store is a request through the AWS SDK.
const SDK_SEEDS: u64 = 40;
/// Seeds of workers under the KCL.
const KCL_SEEDS: u64 = 60;
/// Seeds of a mapping whose stream is deleted and created again.
const RECREATED_SEEDS: u64 = 60;
/// The seeds within which each planted bug is found. `docs/simulation.md` states it.
const PLANTED_WITHIN: u64 = 200;

static SETUP: LazyLock<Arc<Setup>> = LazyLock::new(|| {
    let cache = environment::checkout().join("target/tmp/compiled");
    Arc::new(Setup::new(&plugins::folder(), Some(&cache)).unwrap())
});

fn torture(seeds: u64, plant: Option<Plant>) -> Report {
    torture_with(seeds, &[], plant)
}

fn torture_with(seeds: u64, settings: &[(&str, u32)], plant: Option<Plant>) -> Report {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    let options = Options { plant, keep_trace: false };
    Torture { seed: 1, seeds, settings, options }.run(&SETUP).unwrap()
}

#[test]
fn no_seed_fails_and_each_runs_twice_in_the_same_way() {
    require!(Plugins);
    let report = torture(SEEDS, None);
    let failure = report.failure.map(|failure| format!("seed {}: {}", failure.plan.seed, failure.finding));
    assert_eq!(failure, None, "`paceline torture --seed N` shrinks it");
    assert_eq!(report.ran, SEEDS);
}

#[test]
fn no_seed_fails_in_dynamodb_behind_the_sdk_and_each_runs_twice_in_the_same_way() {
    require!(Plugins);
    let report = torture_with(SDK_SEEDS, &[("tier", 1)], None);
    let failure = report.failure.map(|failure| format!("seed {}: {}", failure.plan.seed, failure.finding));
    assert_eq!(failure, None, "`paceline torture --seed N --tier sdk` shrinks it");
    assert_eq!(report.ran, SDK_SEEDS);
}

#[test]
fn no_seed_fails_under_the_kcl_and_each_runs_twice_in_the_same_way() {
    require!(Plugins);
    let settings = [("mode", 4), ("hosts", 3), ("moves", 10), ("stops", 2), ("refusals", 25), ("kills", 4)];
    let report = torture_with(KCL_SEEDS, &settings, None);
    let failure = report.failure.map(|failure| format!("seed {}: {}", failure.plan.seed, failure.finding));
    assert_eq!(failure, None, "`paceline torture --seed N --set mode=4 …` shrinks it");
    assert_eq!(report.ran, KCL_SEEDS);
}

#[test]
fn a_seed_under_the_kcl_is_a_run_with_leases_that_move() {
    require!(Plugins);
    let options = Options { keep_trace: true, ..Options::default() };
    let is_kcl = |plan: &Plan| plan.get("mode") == Some(4);
    let plans = (1..=SEEDS).map(Plan::draw).filter(is_kcl);
    let traces: String = plans.filter_map(|plan| run(&SETUP, &plan, options).trace).collect();
    for event in [
        "from None at Nothing",
        "from Some(",
        " initialize ",
        " processRecords ",
        " leaseLost ",
        " shardEnded End",
        " shutdownRequested ",
        "\"ThrottlingException\"",
        "\"KinesisClientLibDependencyException\"",
        "\"ShutdownException\"",
        "\"InvalidStateException\"",
        "\"RuntimeException\"",
        "a process ends: the daemon can't write a checkpoint",
        " is killed",
        "the daemon of shard 0 dies",
        "are not committed; they are delivered again",
    ] {
        assert!(traces.contains(event), "no seed of {SEEDS} has `{event}`");
    }
}

#[test]
fn no_seed_whose_stream_is_created_again_fails() {
    require!(Plugins);
    let settings = [("mode", 1), ("reshard", 4), ("ordinal", 0), ("odd", 0), ("zombies", 0)];
    let report = torture_with(RECREATED_SEEDS, &settings, None);
    let failure = report.failure.map(|failure| format!("seed {}: {}", failure.plan.seed, failure.finding));
    assert_eq!(failure, None, "`paceline torture --seed N --set mode=1 --set reshard=4 …` shrinks it");
    assert_eq!(report.ran, RECREATED_SEEDS);
    let options = Options { keep_trace: true, ..Options::default() };
    let traces = (1..=RECREATED_SEEDS).filter_map(|seed| {
        let mut plan = Plan::draw(seed);
        settings.iter().for_each(|(name, value)| plan.set(name, *value).unwrap());
        run(&SETUP, &plan, options).trace
    });
    let letters = traces.filter(|trace| trace.contains("\"other-stream\"")).count();
    assert!(letters > 10, "{letters} seeds have records of another stream");
}

#[test]
fn every_planted_bug_is_found() {
    require!(Plugins);
    for &plant in Plant::ALL {
        let found = torture(PLANTED_WITHIN, Some(plant)).failure;
        let Failure { plan, finding } =
            found.unwrap_or_else(|| panic!("{plant} is not found in {PLANTED_WITHIN} seeds"));
        assert!(!matches!(finding, Finding::NotDeterministic { .. } | Finding::Stuck { .. }), "{plant}: {finding}");
        assert_eq!(run(&SETUP, &plan, Options::default()).finding, None, "{plant}: without it, seed {}", plan.seed);
    }
}

#[test]
fn a_failing_seed_shrinks_to_a_plan_that_fails_alike() {
    require!(Plugins);
    let options = Options { plant: Some(Plant::CheckpointBeforeCommit), keep_trace: false };
    let failure = torture(PLANTED_WITHIN, options.plant).failure.unwrap();
    let shrunk = shrink(&SETUP, &failure.plan, &failure.finding, options);
    let size = |plan: &Plan| Plan::KNOBS.iter().filter_map(|knob| plan.get(knob.name)).sum::<u32>();
    assert!(size(&shrunk.plan) < size(&failure.plan), "{:?}", shrunk.plan);
    assert!(shrunk.plan.records <= 2, "{:?}", shrunk.plan);
    let again = run_twice(&SETUP, &shrunk.plan, options).finding.unwrap();
    assert_eq!(again, shrunk.finding);
}

#[test]
fn a_seed_is_a_run_with_faults() {
    require!(Plugins);
    let options = Options { keep_trace: true, ..Options::default() };
    let traces: String = (1..=SEEDS).filter_map(|seed| run(&SETUP, &Plan::draw(seed), options).trace).collect();
    for event in [
        " dies in ",
        " refused",
        "Conflict",
        "AnswerLost",
        "put checkpoint",
        "put horizon",
        "redrive",
        "rules 3",
        "put pins",
        "finds the disk full",
        "has an iterator that has expired",
        "records of shard",
        "faults end",
        "no answer, effect: true",
        "no answer, effect: false",
        ": Merged",
    ] {
        assert!(traces.contains(event), "no seed of {SEEDS} has `{event}`");
    }
}

#[test]
fn a_seed_behind_the_sdk_is_a_run_with_faults_of_http() {
    require!(Plugins);
    let options = Options { keep_trace: true, ..Options::default() };
    let plan = |seed| {
        let mut plan = Plan::draw(seed);
        plan.set("tier", 1).unwrap();
        plan
    };
    let traces: String = (1..=SDK_SEEDS).filter_map(|seed| run(&SETUP, &plan(seed), options).trace).collect();
    for event in [
        "PutItem",
        "UpdateItem",
        "BatchGetItem",
        "BatchWriteItem",
        "BatchExecuteStatement",
        "Query",
        "Scan",
        "is answered 400",
        "is throttled: all",
        "fails: ProvisionedThroughputExceededException",
        "finds no connection",
        "meets a proxy",
        "loses the answer: 3",
        "timed out (`request-ms`)",
        "can't be read",
        " dies in BatchExecuteStatement",
        "the consumer is registered; it is new: true",
        "subscription to shardId-000000000000: Some",
        "Conflict",
    ] {
        assert!(traces.contains(event), "no seed of {SDK_SEEDS} has `{event}`");
    }
}

#[test]
fn an_unknown_knob_is_refused_with_those_that_there_are() {
    let error = Plan::draw(1).set("host", 1).unwrap_err().to_string();
    assert!(error.starts_with("there is no knob `host`; the knobs are: tier, mode, hosts"), "{error}");
}
