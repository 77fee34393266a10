//! Loads beyond what the shards accept, consumers that can't keep up, and shared items that are full.

use paceline_plan::{
    Aggregate, Assumptions, Consumer, Deployment, Exclusion, Function, Load, Plan, PlanError, Process, TableMode,
    Targets, WarningKind, Work, WorkError,
};
use proptest::prelude::*;

use crate::settings::{plan, unpacked};

#[track_caller]
fn about(value: f64, expected: f64) {
    assert!((value - expected).abs() <= 0.01 * expected.abs(), "{value} is not about {expected}");
}

fn dollars(plan: &Plan, what: &str) -> f64 {
    plan.cost.items.iter().filter(|item| item.what == what).map(|item| item.dollars).sum()
}

#[test]
fn what_a_shard_rejects_is_neither_paid_for_nor_written() {
    let full = plan(&Load::default(), &Deployment::default());
    let twice = plan(&Load { racers: 2_000, ..Load::default() }, &Deployment::default());
    assert_eq!((twice.flow.messages_per_second, twice.flow.accepted_per_second), (2_000.0, 1_000.0));
    // 10.8 and 6.67 units a second for the 1,000 messages that are accepted in it.
    let units = twice.flow.table_units_per_second + twice.flow.index_units_per_second;
    about(twice.flow.units_per_thousand, units);
    about(twice.flow.units_per_thousand, 17.49);
    assert_eq!(dollars(&twice, "million PUT units"), dollars(&full, "million PUT units"));
    assert_eq!(twice.outage.catch_up_seconds, full.outage.catch_up_seconds);
    // The records of producers are what the limit of the shard is compared with.
    assert!(twice.limits.iter().any(|limit| limit.name.starts_with("records/s into") && limit.part() == 2.0));
}

#[test]
fn a_load_of_ten_thousand_times_a_shard_is_planned_by_what_is_accepted() {
    let plan = plan(&Load { racers: 10_000_000, ..Load::default() }, &Deployment::default());
    let flow = &plan.flow;
    about(flow.units_per_thousand, flow.table_units_per_second + flow.index_units_per_second);
    // Full batches are those of now: the table is what bounds the capacity, with the units of these messages.
    let of_key = 1_000.0 / flow.partition_units_per_second * 1_000.0;
    assert_eq!(flow.capacity().part, "partition key");
    assert!(
        (flow.capacity().messages_per_second / of_key - 1.0).abs() < 0.05,
        "{} {of_key}",
        flow.capacity().messages_per_second
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Formula and simulation have the same messages, whatever the shards reject.
    #[test]
    fn the_simulation_accepts_what_the_formula_says(racers in 500..9_000_u32, shards in 1..5_u32, factor in 1..4_u32) {
        let consumer = Consumer::Function(Function { factor, ..Function::default() });
        let deployment = Deployment { shards, consumer, ..Deployment::default() };
        let plan = plan(&Load { racers, ..Load::default() }, &deployment);
        let arrived = plan.simulated.arrived as f64 / plan.simulated.seconds;
        let accepted = plan.flow.accepted_per_second;
        prop_assert!((arrived - accepted).abs() <= 0.001 * accepted, "{arrived} {accepted}");
        let rejects = plan.warnings.iter().any(|warning| warning.kind == WarningKind::ShardFull);
        prop_assert_eq!(rejects, accepted < plan.flow.messages_per_second * (1.0 - 1e-9));
    }

    /// A message is a second older after a second, and never more.
    #[test]
    fn an_age_never_grows_by_more_than_a_second_a_second(
        processors in 0.001..0.02_f64, batch_ms in 0.0..900_000.0_f64, seconds in 1..2_000_u32,
    ) {
        let consumer = Consumer::Run(Process { processors, ..Process::default() });
        let assumptions = Assumptions { work: Work { batch_ms, ..Work::default() }, ..Assumptions::default() };
        let targets = Targets { seconds, outage_seconds: 1, ..Targets::default() };
        let deployment = Deployment { consumer, ..Deployment::default() };
        let outcome = Plan::new(&Load::default(), &deployment, &assumptions, &targets).unwrap().simulated;
        prop_assert!(outcome.growth <= 1.0, "{outcome:?}");
        prop_assert!(outcome.age_at_end <= outcome.seconds, "{outcome:?}");
    }
}

#[test]
fn messages_are_not_lost_before_they_are_as_old_as_the_retention() {
    let consumer = Consumer::Run(Process { processors: 0.001, ..Process::default() });
    let work = Work { batch_ms: 900_000.0, ..Work::default() };
    let assumptions = Assumptions { work, ..Assumptions::default() };
    let deployment = Deployment { consumer, ..Deployment::default() };
    let plan = Plan::new(&Load::default(), &deployment, &assumptions, &Targets::default()).unwrap();
    let behind = plan.warnings.iter().find(|warning| warning.kind == WarningKind::FallsBehind).unwrap();
    let (_, after) = behind.text.split_once("messages are lost ").unwrap();
    let hours: f64 = after.split_once(' ').unwrap().0.parse().unwrap();
    assert!(hours >= 24.0, "{}", behind.text);
}

#[test]
fn windows_longer_than_the_simulation_are_no_growth() {
    let load = Load { racers: 10, ..Load::default() };
    for (window_seconds, tumbling_seconds) in [(5, 900), (300, 0), (300, 900)] {
        let consumer = Consumer::Function(Function { window_seconds, tumbling_seconds, ..Function::default() });
        let plan = plan(&load, &Deployment { consumer, ..Deployment::default() });
        assert_eq!(plan.simulated.growth, 0.0, "{plan}");
        assert!(plan.simulated.committed > 0 && plan.outage.simulated_seconds.is_some(), "{plan}");
        assert!(!plan.warnings.iter().any(|warning| warning.kind == WarningKind::FallsBehind), "{plan}");
    }
}

#[test]
fn a_full_shared_item_leaves_its_other_groups_to_items_of_their_own() {
    let load = Load { racers: 640_000, ..Load::default() };
    let table = TableMode::Provisioned { units: 20_000.0, index_units: 20_000.0 };
    let with = |into| {
        let aggregates = Aggregate::alleycat().into_iter();
        let aggregates =
            aggregates.map(|it| Aggregate { packed_into: if it.packed_into > 0 { into } else { 0 }, ..it });
        plan(&load, &Deployment { shards: 800, table, aggregates: aggregates.collect(), ..Deployment::default() })
    };
    let warning = |plan: &Plan| plan.warnings.iter().find(|it| it.kind == WarningKind::SharedItems).cloned();
    // 640,000 ÷ 8 groups of 7 bytes are 560 KB: an item has room for (409,600 - 480) ÷ 7.
    let text = warning(&with(8)).unwrap().text;
    assert!(text.contains("80,000 groups of `last-output`") && text.contains("room for about 58,445"), "{text}");
    assert_eq!(warning(&with(11)), None);
    // The fewer items there are, the more groups are written as if they were not packed.
    let alone = plan(&load, &Deployment { shards: 800, table, aggregates: unpacked(), ..Deployment::default() });
    let items = [1, 2, 4, 8].map(|into| with(into).flow.items_per_second);
    assert!(items.is_sorted_by(|few, many| few > many), "{items:?}");
    assert!(items[0] < alone.flow.items_per_second && items[0] > 0.85 * alone.flow.items_per_second, "{items:?}");
}

#[test]
fn what_is_no_number_is_refused_by_the_library() {
    let targets = Targets::default();
    let refused = |load: &Load, deployment: &Deployment, assumptions: &Assumptions| {
        Plan::new(load, deployment, assumptions, &targets).unwrap_err()
    };
    let (load, deployment, assumptions) = (Load::default(), Deployment::default(), Assumptions::default());
    let error = refused(&Load { rate: f64::NAN, ..load.clone() }, &deployment, &assumptions);
    let PlanError::Excluded(found) = &error else { panic!("{error}") };
    assert!(matches!(found[..], [Exclusion::OutOfRange { option: "--rate", .. }]), "{error}");
    let work = Work { request_ms: -8.0, ..Work::default() };
    let error = refused(&load, &deployment, &Assumptions { work, ..assumptions.clone() });
    assert!(matches!(error, PlanError::Work(WorkError::OutOfRange { key: "request-ms", .. })), "{error}");
    let mut prices = assumptions.prices.clone();
    prices.lambda.requests_million = f64::INFINITY;
    let error = refused(&load, &deployment, &Assumptions { prices, ..assumptions });
    assert!(error.to_string().contains("`lambda.requests-million` is inf"), "{error}");
}
