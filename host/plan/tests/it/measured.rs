//! What was measured elsewhere, and the arithmetic of the Alleycat races.

use paceline_capacity::lambda;
use paceline_plan::{
    Assumptions, Consumer, Deployment, Function, Keys, Load, Options, Packing, Plan, Process, TableMode, Targets, Work,
    simulate,
};

use crate::settings::{article, every_second, function, plan};

/// `docs/operations/dynamodb.md`: write units for 1,000 messages, by the capacity that DynamoDB Local reports.
#[test]
fn write_units_are_those_that_were_measured() {
    for (window_seconds, tumbling_seconds, measured) in [(1, 0, 1_010.0), (5, 0, 210.0), (1, 15, 77.0)] {
        let batch_size = 10_000;
        let setting = Function { window_seconds, tumbling_seconds, batch_size, ..Function::default() };
        let units = plan(&Load::default(), &function(setting)).flow.units_per_thousand;
        assert!((units - measured).abs() < 0.01 * measured, "{units}, measured {measured}");
    }
}

/// `docs/operations/dynamodb.md`: packed groups, without the writes that find that another host was first.
#[test]
fn packed_groups_cost_what_was_measured() {
    let work = Work { request_ms: 0.0, batch_ms: 0.0, message_ns: 0.0, ..Work::default() };
    let assumptions = Assumptions { work, ..Assumptions::default() };
    let keyed = [(1, Keys::Racer, 79.8), (4, Keys::Racer, 79.8), (10, Keys::Racer, 108.2)];
    let random = [(4, Keys::Random, 122.6), (10, Keys::Random, 206.7)];
    for (shards, keys, measured) in keyed.into_iter().chain(random) {
        let load = Load { keys, race_seconds: 60, ..Load::default() };
        let deployment = Deployment { shards, consumer: Consumer::Kcl(Process::default()), ..Deployment::default() };
        let flow = Plan::new(&load, &deployment, &assumptions, &Targets::default()).unwrap().flow;
        // For 1,000 messages a second.
        let units = flow.units_per_thousand - flow.refused_units_per_second;
        assert!((units - measured).abs() < 0.05 * measured, "{shards} {keys:?}: {units}, measured {measured}");
        // With work that takes no time, only a host that begins at the same moment is a rival.
        let refused = flow.refused_units_per_second / units;
        let expected = if keys == Keys::Racer { 0.0..=0.0 } else { 0.01..=0.15 };
        assert!(expected.contains(&refused), "{shards} {keys:?}: {refused}");
    }
}

/// Four writers with random keys, each with a cache of its own, took 1,687 units for 1,000 messages.
#[test]
fn conflicts_cost_what_was_measured() {
    let load = Load { keys: Keys::Random, ..Load::default() };
    let units = plan(&load, &Deployment { shards: 4, ..function(every_second()) }).flow.table_units_per_second;
    assert!((units - 1_687.0).abs() < 0.05 * 1_687.0, "{units}");
}

/// 162 bytes a message: 290 to 305 messages in a record of 50 KB, of which a shard takes 5,900 a second.
#[test]
fn packed_messages_are_those_of_the_kpl() {
    let load = Load { message_bytes: 162, packing: Packing::Bytes(51_200), ..Load::default() };
    let messages = load.messages_per_record();
    assert!((285.0..=305.0).contains(&messages), "{messages}");
    let carried = 1_048_576.0 / load.counted_bytes() as f64 * messages;
    assert!((carried - 5_900.0).abs() < 100.0, "{carried}");
}

#[test]
fn about_7900_messages_fill_an_event() {
    let fits = lambda::records_of_an_event(162);
    assert!((7_500..=7_910).contains(&fits), "{fits}");
}

/// A table of 20 units and its index of 10 have 6,000 and 3,000 units of credit: they last for six seconds of a race.
#[test]
fn burst_credit_hides_a_table_that_is_too_small_for_six_seconds() {
    let (load, deployment) = article();
    let throttled = |seconds| {
        let options = Options { seconds, ..Options::default() };
        simulate(&load, &deployment, &Work::default(), &options).throttled
    };
    assert_eq!(throttled(5), 0);
    assert!(throttled(9) > 0);
}

/// The finals of 1,000 racers are 2,000 units of the table at once. A table that only has the average of a window works
/// on them until the next race is well on its way, by its credit.
#[test]
fn burst_credit_takes_the_finals() {
    let setting = function(Function { window_seconds: 5, batch_size: 10_000, ..Function::default() });
    let with = |units| {
        let deployment = Deployment { table: TableMode::Provisioned { units, index_units: units }, ..setting.clone() };
        simulate(&Load::default(), &deployment, &Work::default(), &Options::default())
    };
    // 203.3 units a second are used on average.
    let (enough, too_few) = (with(210.0), with(150.0));
    assert_eq!(enough.throttled, 0, "{enough:?}");
    assert!(enough.ages.highest < 6.0, "{enough:?}");
    assert!(too_few.throttled > 0 && too_few.growth > 0.0, "{too_few:?}");
}
