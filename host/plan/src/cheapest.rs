//! The cheapest setting that holds a wanted age: a search over shards, packing, mapping, memory and table.

use serde::Serialize;

use crate::assumptions::Assumptions;
use crate::cost::Cost;
use crate::deployment::{Consumer, Deployment, Function, TableMode};
use crate::exclusions::exclusions;
use crate::flow::Flow;
use crate::interval::least_simulated;
use crate::limits::{LimitKind, limits};
use crate::load::{Load, Packing};
use crate::ranges::MOST_SIMULATED;
use crate::shape::Shape;
use crate::simulation::{Options, Outcome, simulate};
use crate::warnings::{HEADROOM, STEADY_GROWTH};

/// Bytes of a packed record: the KPL's default.
const PACKED_BYTES: u64 = 51_200;
const BATCH_SIZES: [u32; 3] = [1_000, 5_000, 10_000];
const WINDOWS: [u32; 12] = [1, 2, 3, 4, 5, 8, 10, 15, 20, 30, 60, 120];
const TUMBLING_WINDOWS: [u32; 10] = [0, 2, 3, 4, 5, 8, 10, 15, 30, 60];
const FACTORS: [u32; 4] = [1, 2, 4, 10];
const MEMORY_MB: [u32; 4] = [256, 512, 1_024, 1_769];
/// Provisioned units, as multiples of those used on average.
const UNITS: [f64; 4] = [1.25, 1.5, 2.0, 4.0];
/// Settings that are simulated, the cheapest ones first.
const SIMULATED: usize = 50;
/// A setting is simulated with each of them. They decide at which moment of its interval a queue is polled, on which ages depend
/// where a window and an interval are multiples of each other.
const SEEDS: [u64; 4] = [1, 2, 3, 4];
/// Shards up to which a search goes.
const MOST_SHARDS: u32 = 1_000;
/// Races that are simulated.
const RACES: u32 = 2;

/// A setting that holds the wanted age.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cheapest {
    /// How producers pack messages.
    pub packing: Packing,
    /// The deployment.
    pub deployment: Deployment,
    /// What it costs.
    pub cost: Cost,
    /// The age of 99 of 100 messages, the highest of several simulations, in seconds.
    pub age_seconds: f64,
    /// The limit that is full first, and the part of it that is used.
    pub first_full: (&'static str, f64),
}

struct Candidate {
    load: Load,
    deployment: Deployment,
    cost: Cost,
    /// By the formula, in seconds.
    highest_age: f64,
    first_full: (&'static str, f64),
}

/// The cheapest setting with which 99 of 100 messages are committed within the wanted age, in seconds, with a fifth of
/// each limit to spare; `None` if there is none.
///
/// The kind of consumer, the rulebook and the time-out stay those of `deployment`.
#[must_use]
pub fn cheapest(load: &Load, deployment: &Deployment, wanted_age: f64, assumptions: &Assumptions) -> Option<Cheapest> {
    let mut candidates = Vec::new();
    for packing in packings(load) {
        let load = Load { packing, ..load.clone() };
        for shards in shard_counts(&load) {
            for consumer in consumers(&deployment.consumer, wanted_age) {
                let deployment = Deployment { shards, consumer, ..deployment.clone() };
                add_candidates(&mut candidates, &load, deployment, (wanted_age, assumptions));
            }
        }
    }
    sort(&mut candidates);
    candidates.truncate(SIMULATED);
    // What is given may hold the age with values that are not tried.
    if exclusions(load, deployment).is_empty() {
        let flow = Flow::new(&Shape::new(load, deployment, &assumptions.work));
        add_candidate(&mut candidates, load, deployment.clone(), &flow, assumptions);
        sort(&mut candidates);
    }
    candidates.into_iter().find_map(|candidate| {
        let Candidate { load, deployment, cost, highest_age, first_full } = candidate;
        let age_seconds = held_age(&Shape::new(&load, &deployment, &assumptions.work), highest_age, wanted_age)?;
        Some(Cheapest { packing: load.packing, deployment, cost, age_seconds, first_full })
    })
}

/// The highest age of several simulations of two races, if all of them hold the wanted age. `highest_age` is the formula's.
pub(crate) fn held_age(shape: &Shape<'_>, highest_age: f64, wanted_age: f64) -> Option<f64> {
    let seconds = shape.load.race_seconds.saturating_mul(RACES).clamp(least_simulated(shape).max(60), MOST_SIMULATED);
    // Lazily: the first one that does not hold it decides.
    let mut ages = SEEDS.into_iter().map(|seed| {
        let options = Options { seconds, seed, ..Options::default() };
        let outcome = simulate(shape.load, shape.deployment, shape.work, &options);
        let age = if outcome.committed > 0 { outcome.ages.p99 } else { highest_age };
        holds(highest_age, &outcome, wanted_age).then_some(age)
    });
    ages.try_fold(0.0_f64, |highest, age| Some(highest.max(age?)))
}

/// Whether what was simulated holds an age. Of a load of which no message came in that time, the formula says so.
pub(crate) fn holds(highest_age: f64, outcome: &Outcome, wanted_age: f64) -> bool {
    if outcome.arrived == 0 {
        return highest_age <= wanted_age;
    }
    outcome.ages.p99 <= wanted_age
        && outcome.age_at_end <= 2.0 * wanted_age + 1.0
        && outcome.growth <= STEADY_GROWTH
        && outcome.timeouts == 0
        && outcome.rejected == 0
        && outcome.committed > 0
}

fn packings(load: &Load) -> Vec<Packing> {
    let mut packings = vec![Packing::None, Packing::Bytes(PACKED_BYTES)];
    if !packings.contains(&load.packing) {
        packings.push(load.packing);
    }
    packings
}

/// The fewest shards that accept the load with room to spare, and some more.
fn shard_counts(load: &Load) -> Vec<u32> {
    let accepts = |shards: &u32| {
        let share = load.hottest_share(*shards) / HEADROOM;
        let records = load.records_per_second() * share;
        let bytes = records * load.counted_bytes() as f64;
        records <= paceline_capacity::kinesis::SHARD_RECORDS_PER_SECOND
            && bytes <= paceline_capacity::kinesis::SHARD_BYTES_PER_SECOND
    };
    let Some(fewest) = (1..=MOST_SHARDS).find(accepts) else { return Vec::new() };
    let mut counts = vec![fewest, fewest + 1, fewest * 2];
    counts.dedup();
    counts
}

fn consumers(given: &Consumer, wanted_age: f64) -> Vec<Consumer> {
    let Consumer::Function(given) = given else { return vec![given.clone()] };
    let mut consumers = Vec::new();
    let in_time = |seconds: &u32| f64::from(*seconds) < wanted_age.max(1.5);
    for window_seconds in WINDOWS.into_iter().filter(in_time) {
        for tumbling_seconds in TUMBLING_WINDOWS.into_iter().filter(in_time) {
            for factor in FACTORS.into_iter().filter(|factor| *factor == 1 || tumbling_seconds == 0) {
                for batch_size in first(given.batch_size, &BATCH_SIZES) {
                    consumers.extend(first(given.memory_mb, &MEMORY_MB).map(|memory_mb| {
                        let given = given.clone();
                        Consumer::Function(Function {
                            batch_size,
                            window_seconds,
                            tumbling_seconds,
                            factor,
                            memory_mb,
                            ..given
                        })
                    }));
                }
            }
        }
    }
    consumers
}

/// What is given comes before the others: of equal costs, the first one is taken.
fn first(given: u32, others: &[u32]) -> impl Iterator<Item = u32> {
    std::iter::once(given).chain(others.iter().copied().filter(move |other| *other != given))
}

/// Adds a deployment with each mode of its table that has room to spare.
fn add_candidates(
    candidates: &mut Vec<Candidate>,
    load: &Load,
    deployment: Deployment,
    (wanted_age, assumptions): (f64, &Assumptions),
) {
    if !exclusions(load, &deployment).is_empty() {
        return;
    }
    let flow = Flow::new(&Shape::new(load, &deployment, &assumptions.work));
    if flow.mean_age_seconds > wanted_age || flow.busy > HEADROOM {
        return;
    }
    for table in tables(&deployment, &flow) {
        add_candidate(candidates, load, Deployment { table, ..deployment.clone() }, &flow, assumptions);
    }
}

fn sort(candidates: &mut [Candidate]) {
    candidates.sort_by(|a, b| a.cost.total().total_cmp(&b.cost.total()));
}

/// Adds a deployment if it has room to spare. Nothing of its flow that is used here depends on the table.
fn add_candidate(
    candidates: &mut Vec<Candidate>,
    load: &Load,
    deployment: Deployment,
    flow: &Flow,
    assumptions: &Assumptions,
) {
    let shape = Shape::new(load, &deployment, &assumptions.work);
    let limits = limits(flow, &shape);
    let rates = limits.iter().filter(|limit| limit.kind == LimitKind::Rate);
    let fullest = rates.max_by(|a, b| a.part().total_cmp(&b.part())).expect("there are limits of rates");
    // Units are bought with a little more than that to spare.
    if fullest.part() <= HEADROOM + 1e-9 {
        let cost = Cost::new(flow, &shape, &assumptions.prices);
        let (highest_age, load) = (flow.highest_age_seconds, load.clone());
        let first_full = (fullest.name, fullest.part());
        candidates.push(Candidate { load, deployment, cost, highest_age, first_full });
    }
}

/// On demand, and several provisioned capacities. The index has the table's: a full index throttles its table.
fn tables(deployment: &Deployment, flow: &Flow) -> Vec<TableMode> {
    let on_demand = match deployment.table {
        TableMode::OnDemand { units } => units,
        TableMode::Provisioned { .. } => paceline_capacity::dynamodb::ON_DEMAND_WRITE_UNITS,
    };
    let used = flow.table_units_per_second.max(flow.index_units_per_second);
    let mut tables = vec![TableMode::OnDemand { units: on_demand }];
    tables.extend(UNITS.iter().map(|times| {
        let units = (used * times).ceil().max(1.0);
        TableMode::Provisioned { units, index_units: units }
    }));
    tables
}
