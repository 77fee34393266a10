//! Settings that several tests plan.

use paceline_plan::{
    Aggregate, Assumptions, Consumer, Deployment, Function, Keys, Load, Plan, Process, TableMode, Targets,
};

pub(crate) fn plan(load: &Load, deployment: &Deployment) -> Plan {
    Plan::new(load, deployment, &Assumptions::default(), &Targets::default()).unwrap()
}

/// The Alleycat rulebook with an item for each group.
pub(crate) fn unpacked() -> Vec<Aggregate> {
    Aggregate::alleycat().into_iter().map(|aggregate| Aggregate { packed_into: 0, ..aggregate }).collect()
}

/// A function whose rulebook packs no groups.
pub(crate) fn function(function: Function) -> Deployment {
    Deployment { consumer: Consumer::Function(function), aggregates: unpacked(), ..Deployment::default() }
}

/// Batches of a second, as the sample application has them.
pub(crate) fn every_second() -> Function {
    Function { batch_size: 1_000, window_seconds: 1, ..Function::default() }
}

/// The article: random keys, a function of 15 s and 256 MB, a table of 20 units whose index has 10.
pub(crate) fn article() -> (Load, Deployment) {
    let deployment = function(Function { timeout_seconds: 15, memory_mb: 256, ..every_second() });
    let table = TableMode::Provisioned { units: 20.0, index_units: 10.0 };
    (Load { keys: Keys::Random, ..Load::default() }, Deployment { table, ..deployment })
}

/// Ten races of 1,000 racers each, read by `paceline run` on two processors.
pub(crate) fn ten_races() -> (Load, Deployment) {
    let load = Load { racers: 10_000, races: 10, ..Load::default() };
    let consumer = Consumer::Run(Process { processors: 2.0, ..Process::default() });
    let table = TableMode::Provisioned { units: 15_000.0, index_units: 15_000.0 };
    (load, Deployment { shards: 16, consumer, table, aggregates: unpacked(), ..Deployment::default() })
}
