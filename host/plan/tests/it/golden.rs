//! Six settings, their figures computed by hand in the comments.

use paceline_plan::{
    Assumptions, Consumer, Deployment, Function, Keys, Load, Packing, Plan, Targets, WarningKind, Work,
};

use crate::settings::{article, every_second, function, plan, ten_races};

fn part(plan: &Plan, name: &str) -> f64 {
    plan.limits.iter().find(|limit| limit.name == name).unwrap_or_else(|| panic!("{name}")).part()
}

fn dollars(plan: &Plan, service: &str) -> f64 {
    plan.cost.by_service().into_iter().find(|(name, _)| *name == service).unwrap_or_else(|| panic!("{service}")).1
}

fn warns(plan: &Plan, kind: WarningKind) -> bool {
    plan.warnings.iter().any(|warning| warning.kind == kind)
}

#[track_caller]
fn about(value: f64, expected: f64) {
    assert!((value - expected).abs() <= 0.005 * expected.abs(), "{value} is not about {expected}");
}

#[test]
fn the_article() {
    let (load, deployment) = article();
    let plan = plan(&load, &deployment);
    // 1,000 racers × 1/s on one shard: 1,000 of 1,000 records, 1,000 × (160 + 8) of 1,048,576 bytes.
    about(part(&plan, "records/s into the fullest shard"), 1.0);
    about(part(&plan, "bytes/s into the fullest shard"), 0.160);
    // An item of 600 bytes is one unit. Each second 1,000 standings, and 1,000 ÷ 300 bests: 1,003.3 of 20 units.
    about(plan.flow.table_units_per_second, 1_003.3);
    about(part(&plan, "write units/s of the table"), 50.17);
    // The index gets finals only, of both aggregates: 2 × 1,000 ÷ 300 of 10 units.
    about(plan.flow.index_units_per_second, 6.667);
    // The last second: 1,000 standings and 1,000 bests, both with their index entry; the credit is 300 s, beside this second's.
    about(plan.flow.peak_units, 2_000.0);
    about(plan.flow.peak_index_units, 2_000.0);
    about(part(&plan, "write units at once, table"), 2_000.0 / (20.0 * 301.0));
    assert_eq!(plan.first_full.as_ref().unwrap().name, "write units/s of the table");
    // 20 units a second are 20 ÷ 1.0033 messages a second, of 1,000: the age grows by 0.98 s each second.
    about(plan.flow.capacity().messages_per_second, 19.93);
    assert_eq!(plan.flow.capacity().part, "table");
    about(plan.simulated.growth, 0.98);
    assert_eq!(plan.outage.catch_up_seconds, None);
    // Shard hours 730 × 0.015, PUT units 2,628 million × 0.014; 20 and 10 units, 730 h × 0.00065, and 2 read units.
    about(dollars(&plan, "Kinesis"), 10.95 + 36.79);
    about(dollars(&plan, "DynamoDB"), 30.0 * 730.0 * 0.00065 + 2.0 * 730.0 * 0.00013);
    for kind in [WarningKind::FallsBehind, WarningKind::PackMessages, WarningKind::IndexUnits, WarningKind::TimeOut] {
        assert!(warns(&plan, kind), "{kind:?}");
    }
}

#[test]
fn the_template() {
    let plan = plan(&Load::default(), &function(every_second()));
    // 1,024 of 1,769 MB: 0.579 processors. (1,000 × 1.4 µs + 1,000 × 24 µs) ÷ 0.579 = 43.9 ms, 1 ms and a read of 8 ms;
    // 40 requests of 25 items, 16 at a time: 3 × 8 ms.
    about(plan.flow.duration_seconds, 0.0769);
    // Half a second until the poll and the batch; a second and the batch for the oldest.
    about(plan.flow.mean_age_seconds, 0.577);
    about(plan.flow.highest_age_seconds, 1.077);
    assert!((plan.simulated.ages.mean - 0.577).abs() < 0.03, "{:?}", plan.simulated.ages);
    // The standings of a race are 1,000 units a second under one partition key.
    about(part(&plan, "write units/s of a partition key"), 1.0);
    assert!(warns(&plan, WarningKind::PartitionKey));
    assert!(!warns(&plan, WarningKind::FallsBehind), "{plan}");
    // On demand: (1,003.3 + 6.67) × 2.628 million seconds × 0.625, and a read unit a second × 0.125.
    about(dollars(&plan, "DynamoDB"), 1_010.0 * 2.628 * 0.625 + 2.628 * 0.125);
    // 2.628 million requests × 0.2; 1 GB × 0.0772 s, finals included, × 2.628 million × 16.67.
    about(dollars(&plan, "Lambda"), 0.5256 + 0.0769 * 2.628 * 16.667);
}

/// 480 + 250 × 7 = 2,230 bytes are 1.960 to 2.396 KB, a tenth less and more: 9 % of them are 2 units, the others 3.
const SHARED_UNITS: f64 = 2.908;
/// 60 + 250 × 14 = 3,560 bytes are 3.13 to 3.82 KB.
const SHOWN_UNITS: f64 = 4.0;

#[test]
fn packed_groups() {
    let deployment = Deployment { consumer: Consumer::Function(every_second()), ..Deployment::default() };
    let plan = plan(&Load::default(), &deployment);
    // 4 items of 250 groups: a thousand groups touch all of them, and once more when their results leave. What they show is
    // written after each tenth of these writes, and when results leave. Results: 1,000 ÷ 300 a second, and a best of each racer.
    let shared = 4.0 * (SHARED_UNITS * (1.0 + 1.0 / 300.0) + SHOWN_UNITS * (0.1 + 1.0 / 300.0));
    about(plan.flow.table_units_per_second, shared + 1_000.0 / 300.0 * 2.0);
    about(part(&plan, "write units/s of a partition key"), (shared + 1_000.0 / 300.0) / 1_000.0);
}

#[test]
fn packed_messages_and_larger_batches() {
    let load = Load { packing: Packing::Bytes(51_200), ..Load::default() };
    let plan = plan(&load, &function(Function { window_seconds: 5, ..every_second() }));
    // 160 + 5 + 8 + 3 bytes a message: (51,200 - 21) ÷ 176 = 290 in a record of 51,061 bytes; 3.45 records a second.
    about(plan.flow.records_per_second, 3.448);
    about(part(&plan, "records/s into the fullest shard"), 0.00345);
    // A batch begins with a record and has those of five seconds: 18, which come in 5.22 s. 1,000 ÷ 5.22 + 3.3 units.
    about(plan.flow.table_units_per_second, 194.9);
    // Two PUT units of 25 KB a record: 6.9 a second instead of 1,000.
    about(dollars(&plan, "Kinesis"), 10.95 + 6.897 * 2.628 * 0.014);
    // An event has 91 records of 51,061 bytes: 68,084 + 580 bytes each, of 6,291,456.
    assert!(warns(&plan, WarningKind::BatchSize));
    about(plan.flow.full_batch_records, 91.0);
    // A full batch has 26,390 messages and 1,000 + 26.4 × 3.3 units; the shard lets 2 MB a second be read: 11,911 messages.
    assert_eq!(plan.flow.capacity().part, "reads of a shard");
    about(plan.flow.capacity().messages_per_second, 11_911.0);
    // An outage of 600 s: 600 × 1,000 ÷ (11,911 - 1,000).
    about(plan.outage.catch_up_seconds.unwrap(), 55.0);
    let simulated = plan.outage.simulated_seconds.unwrap();
    assert!((simulated - 55.0).abs() < 11.0, "{simulated}");
}

#[test]
fn random_keys_and_a_factor() {
    let load = Load { keys: Keys::Random, ..Load::default() };
    let deployment = function(Function { factor: 2, ..every_second() });
    let plan = plan(&load, &Deployment { shards: 2, ..deployment });
    // Four concurrent batches: three of four writes find that another was first. 1,003.3 × 1.75.
    assert_eq!(plan.flow.queues, 4);
    about(plan.flow.table_units_per_second, 1_755.8);
    about(part(&plan, "write units/s of a partition key"), 1.75);
    // More than 1,000 units a second under one partition key: it falls behind.
    assert!(warns(&plan, WarningKind::Conflicts) && warns(&plan, WarningKind::FallsBehind), "{plan}");
}

#[test]
fn packed_groups_of_several_hosts() {
    let load = Load { keys: Keys::Random, ..Load::default() };
    let deployment = Deployment { shards: 4, consumer: Consumer::Function(every_second()), ..Deployment::default() };
    let random = plan(&load, &deployment).flow;
    // Of 4 items, 250 messages are in all: 4 × 4 a second. Between the read and the write are 17 ms and 250 × 1.4 µs ÷ 0.579:
    // 0.0176 of a second, in which each of three others may write. The bests are not packed: three of four writes find that
    // another was first.
    let refused = 16.0 * SHARED_UNITS * (1.0 - (1.0_f64 - 0.017_605).powi(3)) + 1_000.0 / 300.0 * 0.75;
    about(random.refused_units_per_second, refused);
    // The shared items once more when the results leave, and 1,000 ÷ 300 results and bests a second.
    let shared = 16.0 * (SHARED_UNITS * (1.0 + 1.0 / 300.0) + SHOWN_UNITS * (0.1 + 1.0 / 300.0));
    let written = shared + 1_000.0 / 300.0 * 2.0;
    about(random.table_units_per_second, written + random.refused_units_per_second);
    // A read unit for each of the items, and one for each batch.
    about(random.read_units_per_second, 4.0 * (4.0 + 1.0));

    // Shards of racers have an item each of their own. An instance may still have old bests.
    let keyed = plan(&Load { keys: Keys::Racer, ..load }, &deployment).flow;
    about(keyed.refused_units_per_second, 1_000.0 / 300.0 * 0.75);
    assert_eq!(keyed.read_units_per_second, 4.0);
    assert!(keyed.table_units_per_second < 0.5 * random.table_units_per_second, "{}", keyed.table_units_per_second);
}

#[test]
fn a_tumbling_window() {
    let plan = plan(&Load::default(), &function(Function { tumbling_seconds: 15, ..every_second() }));
    // Each standing once in 15 s, and finals: 66.7 + 3.3 units of the table, 6.7 of the index.
    about(plan.flow.table_units_per_second, 70.0);
    about(plan.flow.units_per_thousand, 76.7);
    // 15,000 messages × 25 bytes of state.
    about(plan.flow.window_state_bytes, 375_000.0);
    // Half a window, half a second until the poll after its end, half of the last batch, and the flush.
    assert!(plan.flow.mean_age_seconds > 8.0 && plan.flow.mean_age_seconds < 8.2, "{}", plan.flow.mean_age_seconds);
    assert!(!warns(&plan, WarningKind::FallsBehind));
}

#[test]
fn ten_races_in_one_process() {
    let (load, deployment) = ten_races();
    let plan = plan(&load, &deployment);
    // The fullest of 16 shards: 1/16 + √(1/16 × 15/16 ÷ 10,000 × 2 ln 16) = 0.0625 + 0.00570 of 10,000 records.
    about(part(&plan, "records/s into the fullest shard"), 0.682);
    // One process has one cache: no conflicts. 10,000 + 33.3 units of 15,000; 1,000 for the partition key of each race.
    about(plan.flow.table_units_per_second, 10_033.3);
    about(part(&plan, "write units/s of the table"), 0.6689);
    about(part(&plan, "write units/s of a partition key"), 1.0);
    // 2 processors for 16 shards: an eighth each. 682 × 25.4 µs × 8 + 9 ms + 2 × 8 ms of 28 requests.
    about(plan.flow.busy, 0.1636);
    // 2 processors × 0.04048 and 2 GB × 0.004445 an hour.
    about(dollars(&plan, "Container"), 730.0 * (2.0 * 0.04048 + 2.0 * 0.004445));
    assert!(matches!(plan.deployment.consumer, Consumer::Run(_)));
}

#[test]
fn the_report_of_the_article_fits_into_80_columns() {
    let (load, deployment) = article();
    let report = plan(&load, &deployment).to_string();
    let longest = report.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(longest <= 80, "{longest}: {report}");
    let first = "write units/s of the table                        1,003             20     5,017\n";
    assert!(report.contains(first), "{report}");
    assert!(report.contains("full first  write units/s of the table, 5,017 %\n"), "{report}");
    assert!(report.contains("age         grows by 0.98 s each second"), "{report}");
}

#[test]
fn a_plan_is_json() {
    let (load, deployment) = article();
    let json = serde_json::to_value(plan(&load, &deployment)).unwrap();
    assert_eq!(json["first-full"]["name"], "write units/s of the table");
    assert_eq!(json["deployment"]["consumer"]["function"]["timeout-seconds"], 15);
    assert_eq!(json["warnings"][0]["kind"], "falls-behind");
}

#[test]
fn a_packed_record_that_takes_longer_to_fill_than_the_window_begins_a_batch() {
    let load = Load { racers: 10, packing: Packing::Bytes(51_200), ..Load::default() };
    let plan = plan(&load, &function(Function { window_seconds: 5, ..every_second() }));
    // 290 messages in a record, ten a second: 29 s. A message waits for half of that on average, and its record for 5 s.
    about(plan.flow.interval_seconds, 29.0);
    about(plan.flow.mean_age_seconds, 29.0 / 2.0 + 5.0 + plan.flow.duration_seconds);
    about(plan.flow.highest_age_seconds, 29.0 + 5.0 + plan.flow.duration_seconds);
    assert!((plan.simulated.ages.mean - plan.flow.mean_age_seconds).abs() < 0.1, "{:?}", plan.simulated.ages);
}

#[test]
fn a_function_that_takes_a_little_less_than_comes_falls_behind_however_few_batches_are_simulated() {
    let slow = |message_ns| {
        let work = Work { message_ns, ..Work::default() };
        let consumer = Consumer::Function(Function {
            window_seconds: 120,
            batch_size: 10_000,
            timeout_seconds: 900,
            ..every_second()
        });
        let deployment = Deployment { consumer, aggregates: vec![], ..Deployment::default() };
        let assumptions = Assumptions { work, ..Assumptions::default() };
        Plan::new(&Load { racers: 900, ..Load::default() }, &deployment, &assumptions, &Targets::default()).unwrap()
    };
    assert!(warns(&slow(1.2e6), WarningKind::FallsBehind));
    assert!(!warns(&slow(0.5e6), WarningKind::FallsBehind));
}
