//! A whole invocation, from Lambda's event to the committed state, against the sample's functions in node
//! (`invocation/function.js`). Each has tables of its own in DynamoDB Local.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use aws_sdk_dynamodb::types::AttributeValue;
use paceline_aws::dynamodb::WriteWith;
use paceline_testbed::dynamodb;
use paceline_testbed::lambda::{Configuration, Function};

use crate::event::lambda_event;
use crate::function::deployed::{function, invoke, package_with};
use crate::table::{Host, config};
use crate::timing::median;
use crate::{Results, print_line, root, simulated};

const RACERS: usize = 1_000;
const SECONDS: usize = 120;

/// The first events of the race are not measured: the compiler of node is at work.
const WARM_UP: usize = 30;

/// The cost of an invocation: milliseconds, and the function's processor time in nanoseconds a record.
type Cost = [f64; 2];

/// A function with its table, and the cost of each invocation.
struct Contestant {
    function: Function,
    table: String,
    costs: Vec<Cost>,
}

pub(crate) fn run(results: &mut Results) {
    print_line(&format!("\na race of {RACERS} racers, an event a second, from the event to DynamoDB Local"));
    let Ok(endpoint) = std::env::var("PACELINE_TEST_DYNAMODB") else {
        print_line("  skipped, because PACELINE_TEST_DYNAMODB is not set; `make bench` starts it");
        return;
    };
    if Command::new("node").arg("--version").output().is_err() {
        print_line("  skipped, because node is not installed");
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the runtime starts");
    let table = || {
        let config = config(&endpoint, WriteWith::default());
        runtime.block_on(Host::store(&config));
        config.table
    };
    let store = |table: &str| format!("[store.dynamodb]\ntable = {table:?}\nendpoint = {endpoint:?}\n");
    let tables = [table(), table(), table()];
    let rulebooks = root().join("examples/alleycat/rulebooks");
    let packages = [&tables[0], &tables[1]].map(|table| package_with(&rulebooks, &store(table)));
    let ours = |package: &Path| function(package, &package.join("cache"), None);
    let functions = [ours(packages[0].path()), ours(packages[1].path()), node(&endpoint, &tables[2])];
    let contestants = functions.into_iter().zip(tables);
    let mut contestants: Vec<_> =
        contestants.map(|(function, table)| Contestant { function, table, costs: Vec::new() }).collect();

    let lines = simulated(RACERS, SECONDS);
    let events: Vec<String> = lines.chunks(RACERS).map(lambda_event).collect();
    for (second, event) in events.iter().enumerate() {
        for step in 0..contestants.len() {
            // The order rotates, so that another function begins each second.
            let index = (second + step) % contestants.len();
            contestants[index].invoke(event.as_bytes());
        }
    }
    let expected = runtime.block_on(finals(&endpoint, &contestants[0].table));
    assert_eq!(expected.len(), 2 * RACERS, "each racer has a final and a best output");
    for contestant in &contestants[1..] {
        assert!(runtime.block_on(finals(&endpoint, &contestant.table)) == expected, "the tables have the same outputs");
    }
    report(results, &contestants);
}

fn node(endpoint: &str, table: &str) -> Function {
    let script = root().join("host/bench/src/invocation/function.js");
    let configuration = Configuration::new(script).env("AWS_ENDPOINT_URL_DYNAMODB", endpoint).env("TABLE", table);
    Function::new(configuration).expect("the script exists")
}

impl Contestant {
    fn invoke(&mut self, event: &[u8]) {
        let (started, before) = (Instant::now(), self.function.processor_time());
        invoke(&self.function, event);
        let elapsed = started.elapsed();
        // A thread that ends meanwhile takes its time with it. There are few, and the median does not see them.
        let worked = self.function.processor_time().saturating_sub(before);
        self.costs.push([elapsed.as_secs_f64() * 1e3, worked.as_nanos() as f64 / RACERS as f64]);
    }

    /// The median of each cost of these invocations.
    fn medians(&self, invocations: Range<usize>) -> Cost {
        [0, 1].map(|cost| {
            let mut costs: Vec<f64> = self.costs[invocations.clone()].iter().map(|costs| costs[cost]).collect();
            median(&mut costs)
        })
    }
}

/// The value of the index of each racer's item in the race and in the class, in a table after the race.
async fn finals(endpoint: &str, table: &str) -> BTreeMap<[String; 2], String> {
    let scan = dynamodb::client(endpoint).scan().table_name(table).filter_expression("begins_with(SK, :racer)");
    let scan = scan.expression_attribute_values(":racer", AttributeValue::S("racer-".into()));
    let items = scan.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await;
    let text = |value: &AttributeValue| value.as_s().expect("keys are texts").clone();
    let finals = items.expect("the table can be read").into_iter().filter_map(|item| {
        let output = item.get("GSI")?.as_n().expect("the index is of numbers").clone();
        // paceline's key of a race has the class, too.
        let kind = text(&item["PK"]).split('-').next().expect("a text has a first part").to_owned();
        Some(([kind, text(&item["SK"])], output))
    });
    finals.collect()
}

fn report(results: &mut Results, contestants: &[Contestant]) {
    for (kind, invocations) in [("", WARM_UP..SECONDS - 1), ("last_", SECONDS - 1..SECONDS)] {
        let medians: Vec<Cost> = contestants.iter().map(|each| each.medians(invocations.clone())).collect();
        let [ours, control, node] = medians[..] else { panic!("there are three functions") };
        for (cost, name, unit) in [(0, "ms", "ms"), (1, "cpu_ns_per_record", "ns")] {
            let name = format!("invocation_{kind}{name}");
            let node_over_ours = node[cost] / ours[cost];
            results.add(&name, ours[cost], unit, "");
            results.add(&format!("{name}_control"), control[cost] / ours[cost], "A/A", "");
            results.add(&format!("{name}_node"), node[cost], unit, "");
            results.add(&format!("{name}_node_over_ours"), node_over_ours, "node/paceline", "");
        }
    }
}
