//! What is wrong, scenario by scenario.

mod changes;
mod function;
mod hosts;
mod lag;
mod mapping;
mod recorded;
mod rules;
mod stream;
mod table;
mod whole;

use super::builder::Builder;

/// A history, and the checks that have to find something.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) finds: &'static [&'static str],
    pub(crate) build: fn() -> Builder,
}

const fn of(name: &'static str, finds: &'static [&'static str], build: fn() -> Builder) -> Scenario {
    Scenario { name, finds, build }
}

/// All scenarios.
pub(crate) fn scenarios() -> impl Iterator<Item = &'static Scenario> {
    let all = [
        whole::SCENARIOS,
        stream::SCENARIOS,
        lag::SCENARIOS,
        hosts::SCENARIOS,
        function::SCENARIOS,
        mapping::SCENARIOS,
        table::SCENARIOS,
        rules::SCENARIOS,
        recorded::SCENARIOS,
    ];
    all.into_iter().flatten()
}
