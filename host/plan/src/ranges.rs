//! The range of each setting: what a service or the program takes, or what can be computed with.

use paceline_capacity::{dynamodb, kinesis, lambda};

use crate::deployment::{Consumer, Deployment, Function, ITEM_OVERHEAD_BYTES, Process, TableMode};
use crate::exclusion::Exclusion;
use crate::load::{Load, Packing};
use crate::targets::Targets;

/// The least and the most memory of a function, in megabytes.
const MEMORY_MB: (f64, f64) = (128.0, 10_240.0);
/// Shards to which a stream can be resharded.
const MOST_SHARDS: f64 = 10_000.0;
/// A number that is a quota only by request, or none at all. It keeps the arithmetic exact.
const MANY: f64 = 1e9;
/// Messages a second of a racer: from one in eleven days to one in a microsecond.
const RATE: (f64, f64) = (1e-6, 1e6);
/// Seconds of the longest race: a year.
const RACE_SECONDS: f64 = 31_536_000.0;
/// Items of packed groups in a race: `pack.into` of a rulebook has the same bound.
const GROUP_ITEMS: f64 = 1_000.0;
/// Processors of a process: a thousandth is the least that a container can be given.
const PROCESSORS: (f64, f64) = (1e-3, 1e5);
/// The most records of a batch of a process: `batch.max-records` has the same bound.
const PROCESS_RECORDS: f64 = 1e6;
/// The longest wait of a process for the records of a batch, in seconds.
const PROCESS_WAIT_SECONDS: f64 = 3_600.0;
/// The longest simulation without an outage, in seconds. A day is the least retention: no message expires in it.
pub(crate) const MOST_SIMULATED: u32 = 86_400;

/// What is out of its range in a load.
pub(crate) fn of_load(load: &Load) -> Vec<Exclusion> {
    let record = kinesis::RECORD_BYTES as f64;
    let packing = match load.packing {
        Packing::None => None,
        Packing::Messages(messages) => range("messages of a record", "--pack-messages", messages.into(), 1.0, record),
        Packing::Bytes(bytes) => range("bytes of a packed record", "--pack-bytes", bytes as f64, 1.0, record),
    };
    let key = load.key_bytes as f64;
    let found = [
        range("number of racers", "--racers", load.racers.into(), 1.0, MANY),
        range("messages a second of each racer", "--rate", load.rate, RATE.0, RATE.1),
        range("bytes of a message", "--message-bytes", load.message_bytes as f64, 1.0, record - key),
        range("number of races", "--races", load.races.into(), 1.0, MANY),
        range("seconds of a race", "--race-seconds", load.race_seconds.into(), 1.0, RACE_SECONDS),
        range("hours of races a day", "--hours-a-day", load.hours_a_day, 0.0, 24.0),
        packing,
    ];
    found.into_iter().flatten().collect()
}

/// What is out of its range in a deployment.
pub(crate) fn of_deployment(deployment: &Deployment) -> Vec<Exclusion> {
    let (retention, pollers) = (f64::from(deployment.retention_hours), f64::from(deployment.other_pollers));
    let (least, most) = (f64::from(kinesis::RETENTION_HOURS), f64::from(kinesis::MAX_RETENTION_HOURS));
    let mut found = vec![
        range("number of shards", "--shards", deployment.shards.into(), 1.0, MOST_SHARDS),
        range("hours of retention", "--retention", retention, least, most),
        range("number of other consumers that poll", "--other-pollers", pollers, 0.0, 1_000.0),
    ];
    match deployment.table {
        TableMode::OnDemand { units } => found.push(range("write units of the table", "--table", units, 1.0, MANY)),
        TableMode::Provisioned { units, index_units } => {
            found.push(range("write units of the table", "--table", units, 1.0, MANY));
            found.push(range("write units of the index", "--index-units", index_units, 1.0, MANY));
        }
    }
    for aggregate in &deployment.aggregates {
        let bytes = aggregate.item_bytes.saturating_sub(ITEM_OVERHEAD_BYTES) as f64;
        let (most, items) = (dynamodb::ITEM_BYTES - ITEM_OVERHEAD_BYTES, f64::from(aggregate.packed_into));
        found.push(range("bytes of a state", "--state-bytes", bytes, 0.0, most as f64));
        found.push(range("number of items that share the groups of a race", "--group-items", items, 0.0, GROUP_ITEMS));
    }
    found.extend(match &deployment.consumer {
        Consumer::Function(function) => of_function(function),
        Consumer::Run(process) | Consumer::Kcl(process) => of_process(process),
    });
    let mut found: Vec<Exclusion> = found.into_iter().flatten().collect();
    // Of several aggregates with one value.
    found.dedup();
    found
}

fn of_function(function: &Function) -> Vec<Option<Exclusion>> {
    let (records, window) = (f64::from(lambda::BATCH_RECORDS), f64::from(lambda::BATCHING_WINDOW_SECONDS));
    let (tumbling, factor) = (f64::from(lambda::TUMBLING_WINDOW_SECONDS), f64::from(lambda::PARALLELIZATION));
    vec![
        range("batch size", "--batch-size", function.batch_size.into(), 1.0, records),
        range("seconds of the batching window", "--window", function.window_seconds.into(), 0.0, window),
        range("seconds of the tumbling window", "--tumbling", function.tumbling_seconds.into(), 0.0, tumbling),
        range("parallelization factor", "--factor", function.factor.into(), 1.0, factor),
        range(
            "seconds of the time-out",
            "--timeout",
            function.timeout_seconds.into(),
            1.0,
            f64::from(lambda::TIMEOUT_SECONDS),
        ),
        range("megabytes of memory", "--memory", function.memory_mb.into(), MEMORY_MB.0, MEMORY_MB.1),
        range("number of invocations at a time", "--concurrency", function.concurrency.into(), 1.0, MANY),
    ]
}

fn of_process(process: &Process) -> Vec<Option<Exclusion>> {
    let wait = f64::from(process.wait_ms) / 1e3;
    vec![
        range("number of processors", "--processors", process.processors, PROCESSORS.0, PROCESSORS.1),
        range("batch size", "--batch-size", process.batch_records.into(), 1.0, PROCESS_RECORDS),
        range("seconds that a batch waits for records", "--window", wait, 0.0, PROCESS_WAIT_SECONDS),
    ]
}

/// What is out of its range in what is asked for.
pub(crate) fn of_targets(targets: &Targets) -> Vec<Exclusion> {
    let found = [
        range("wanted age in seconds", "--wanted-age", targets.wanted_age.unwrap_or(1.0), 1e-3, MANY),
        range("seconds of the simulation", "--simulate", targets.seconds.into(), 1.0, MOST_SIMULATED.into()),
    ];
    found.into_iter().flatten().collect()
}

/// A value that is no number is in no range.
fn range(setting: &'static str, option: &'static str, value: f64, least: f64, most: f64) -> Option<Exclusion> {
    let is_within = value >= least && value <= most;
    (!is_within).then_some(Exclusion::OutOfRange { setting, option, value, least, most })
}
