//! Seeds of the simulation, and the bugs that are planted in it.

use std::sync::{Arc, LazyLock};

use paceline_simulation::{Failure, Finding, Options, Plan, Plant, Report, Setup, Torture, run, run_twice, shrink};
use paceline_testbed::{environment, plugins, require};

/// Seeds that every test run tries, each twice.
const SEEDS: u64 = 200;
/// The seeds within which each planted bug is found. `docs/simulation.md` states it.
const PLANTED_WITHIN: u64 = 200;

static SETUP: LazyLock<Arc<Setup>> = LazyLock::new(|| {
    let cache = environment::checkout().join("target/tmp/compiled");
    Arc::new(Setup::new(&plugins::folder(), Some(&cache)).unwrap())
});

fn torture(seeds: u64, plant: Option<Plant>) -> Report {
    let options = Options { plant, keep_trace: false };
    Torture { seed: 1, seeds, settings: Vec::new(), options }.run(&SETUP).unwrap()
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
    ] {
        assert!(traces.contains(event), "no seed of {SEEDS} has `{event}`");
    }
}

#[test]
fn an_unknown_knob_is_refused_with_those_that_there_are() {
    let error = Plan::draw(1).set("host", 1).unwrap_err().to_string();
    assert!(error.starts_with("there is no knob `host`; the knobs are: mode, hosts, shards"), "{error}");
}
