//! The cheapest setting.

use paceline_plan::{
    Aggregate, Assumptions, Consumer, Dedup, Deployment, Function, Keys, Load, Options, Packing, Plan, Targets, Work,
    cheapest, simulate,
};
use proptest::prelude::*;

use crate::settings::article;

#[test]
fn the_article_is_held_by_packing_and_longer_batches() {
    let (load, deployment) = article();
    let targets = Targets { wanted_age: Some(5.0), ..Targets::default() };
    let plan = Plan::new(&load, &deployment, &Assumptions::default(), &targets).unwrap();
    let wanted = plan.wanted.as_ref().unwrap();
    assert!(!wanted.is_held, "{plan}");
    let found = wanted.cheapest.as_ref().unwrap();
    // One shard for 1,000 records a second has no room to spare, so that messages are packed.
    assert_eq!((found.deployment.shards, found.packing), (1, Packing::Bytes(51_200)), "{plan}");
    assert!(found.age_seconds <= 5.0 && found.first_full.1 <= 0.8 + 1e-6, "{plan}");
    // A batch of four seconds writes each standing once: 250 + 3.3 units a second, with a fifth to spare 317.
    let Consumer::Function(function) = &found.deployment.consumer else { panic!("{plan}") };
    assert_eq!(function.window_seconds, 4, "{plan}");
    assert!(plan.to_string().contains("5 s is not held; the cheapest setting that holds it: 1 shard"), "{plan}");
}

#[test]
fn an_age_that_cannot_be_held_is_not() {
    assert_eq!(cheapest(&Load::default(), &Deployment::default(), 0.2, &Assumptions::default()), None);
}

#[test]
fn a_longer_age_is_never_more_expensive() {
    let cost =
        |age| cheapest(&Load::default(), &Deployment::default(), age, &Assumptions::default()).unwrap().cost.total();
    let costs = [3.0, 5.0, 10.0, 20.0, 60.0].map(cost);
    assert!(costs.is_sorted_by(|a, b| a >= b), "{costs:?}");
}

/// What is given may have values that are not tried.
#[test]
fn a_given_setting_that_holds_the_age_with_room_to_spare_is_found_or_a_cheaper_one() {
    let load = Load { racers: 500, packing: Packing::Messages(7), ..Load::default() };
    for (window_seconds, tumbling_seconds, age) in [(3, 0, 6.0), (7, 0, 10.0), (1, 7, 12.0), (250, 0, 400.0)] {
        let function = Function { window_seconds, tumbling_seconds, memory_mb: 400, ..Function::default() };
        let deployment = Deployment { consumer: Consumer::Function(function), ..Deployment::default() };
        let targets = Targets { wanted_age: Some(age), ..Targets::default() };
        let plan = Plan::new(&load, &deployment, &Assumptions::default(), &targets).unwrap();
        let wanted = plan.wanted.as_ref().unwrap();
        assert!(wanted.is_held && plan.first_full.as_ref().unwrap().part() <= 0.8, "{plan}");
        let found = wanted.cheapest.as_ref().unwrap();
        assert!(found.cost.total() <= plan.cost.total(), "{plan}");
    }
}

#[test]
fn sequence_dedup_with_random_keys_keeps_a_factor_of_1() {
    let load = Load { keys: Keys::Random, racers: 3_000, races: 6, ..Load::default() };
    let aggregates = vec![Aggregate { dedup: Dedup::Sequence, ..Aggregate::new("last-output", 120) }];
    let deployment = Deployment { aggregates, ..Deployment::default() };
    let found = cheapest(&load, &deployment, 10.0, &Assumptions::default()).unwrap();
    assert_eq!(found.deployment.factor(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// What is found can be deployed, and holds the age under another seed, too.
    #[test]
    fn what_is_found_holds(racers in 10..4_000_u32, races in 1..6_u32, wanted in 2..60_u32, random in any::<bool>()) {
        let keys = if random { Keys::Random } else { Keys::Racer };
        let load = Load { racers, races, keys, ..Load::default() };
        let wanted = f64::from(wanted);
        if let Some(found) = cheapest(&load, &Deployment::default(), wanted, &Assumptions::default()) {
            let load = Load { packing: found.packing, ..load };
            let options = Options { seconds: 900, seed: 7, outage: None };
            let outcome = simulate(&load, &found.deployment, &Work::default(), &options);
            prop_assert!(outcome.ages.p99 <= wanted * 1.1 && outcome.growth < 0.02, "{found:?} {outcome:?}");
            prop_assert!(found.deployment.factor() == 1 || !load.is_packed(), "{:?}", found);
        }
    }
}
