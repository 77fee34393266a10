//! The Lambda function: the processor time of an invocation, the time of a cold start, and what a poll of the rules adds.
//!
//! - `deployed`: packages, and the function.
//! - `polls`: invocations with and without a poll of the rules' log.
//! - `starts`: cold starts with each kind of registry, and with plugins in each language.

pub(crate) mod deployed;
mod polls;
mod starts;

use crate::event::lambda_event;
use crate::timing::median;
use crate::{Results, print_line, simulated};
use deployed::{function, invoke, package};

/// Records in an event.
const RECORDS: usize = 10_000;

pub(crate) fn run(results: &mut Results) {
    print_line("\nthe Lambda function with the memory store");
    let package = package();
    let lines = simulated(1_000, 300);
    let events: Vec<String> = lines.chunks(RECORDS).map(lambda_event).collect();

    // A whole race. Each of its events updates 1,000 groups.
    let mut costs = Vec::new();
    for _ in 0..5 {
        let function = function(package.path(), &package.path().join("cache"), None);
        invoke(&function, events[0].as_bytes());
        let before = function.processor_time();
        events[1..].iter().for_each(|event| invoke(&function, event.as_bytes()));
        let spent = function.processor_time() - before;
        costs.push(spent.as_nanos() as f64 / ((events.len() - 1) * RECORDS) as f64);
    }
    results.add("lambda_cpu_ns_per_record", median(&mut costs), "ns", "target: at most 600");

    let second = lambda_event(&lines[..1_000]);
    starts::run(results, second.as_bytes());
    polls::run(results, second.as_bytes());
}
