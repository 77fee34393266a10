//! Aggregators whose states grow with each record lose nothing under default limits, however the records are batched.

use std::path::Path;

use paceline_pipeline::model::{Attribute, Key};
use paceline_testbed::{plugins, require};
use serde_json::json;

use crate::support::{DedupMode, Workspace, joined, simulate};

/// A workspace whose races have the aggregator, after the scorer `output`.
pub(crate) fn workspace(aggregator: &Path, settings: &str) -> Workspace {
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.write(
        "rulebooks/class-3.toml",
        format!(
            "name = \"growing\"\nversion = 1\n\n[score]\nplugin = \"output\"\n\n[[aggregate]]\nplugin = {aggregator:?}\n\
             settings = {{ {settings} }}\nkey = {{ PK = \"race\", SK = \"{{/racerId}}\" }}\n\
             dedup = {{ ordinal = \"/second\" }}\n"
        ),
    );
    workspace
}

/// Folds these records in batches of so many, and asserts that none is lost.
fn fold(workspace: &Workspace, batch: usize, messages: &[Vec<u8>]) {
    workspace.configure("[source]\nfile = \"messages.ndjson\"\n", &format!("[batch]\nmax-records = {batch}\n"));
    workspace.write("messages.ndjson", joined(messages));
    let summary = workspace.run();
    assert_eq!(
        (&summary["records"], &summary["deadLetters"]),
        (&json!(messages.len()), &json!(0)),
        "batches of {batch}: {summary}"
    );
    assert_eq!(summary["batches"], messages.len().div_ceil(batch), "{summary}");
}

/// The output `records` of a racer.
fn records(workspace: &Workspace, racer: &str) -> Option<Attribute> {
    workspace.items()[&Key::new("race", racer)].attribute("records").cloned()
}

/// Folds the records of one racer until the state nearly has the bytes that it may have, in batches of all sizes, and returns
/// their number. The aggregator counts its records in `records`.
pub(crate) fn up_to_the_bound(workspace: &Workspace, records_at_once: usize) -> i64 {
    let mut seconds = 1..;
    for (batch, count) in [(10_000, records_at_once), (1_000, 2_000), (100, 300), (1, 5)] {
        let message = |second: i64| json!({ "second": second, "racerId": 1, "classId": 3, "cadence": 65, "resistance": 35, "deviceTimestamp": second });
        let messages: Vec<_> = seconds.by_ref().take(count).map(|it| message(it).to_string().into_bytes()).collect();
        // Another file is another shard.
        std::fs::remove_file(workspace.path("messages.ndjson")).ok();
        workspace.configure(
            &format!("[source]\nfile = \"messages.ndjson\"\nname = \"by-{batch}\"\n"),
            &format!("[batch]\nmax-records = {batch}\n"),
        );
        workspace.write("messages.ndjson", joined(&messages));
        let summary = workspace.run();
        assert_eq!(summary["deadLetters"], 0, "batches of {batch}: {summary}");
        assert_eq!(summary["batches"], count.div_ceil(batch), "{summary}");
    }
    let folded = seconds.start - 1;
    assert_eq!(records(workspace, "1"), Some(Attribute::Integer(folded)));
    folded
}

#[test]
fn a_thousand_states_that_grow_lose_nothing_at_any_batch_size() {
    require!(Plugins);
    for (batch, racers, seconds) in [(1, 20, 30), (100, 1_000, 20), (1_000, 1_000, 90), (10_000, 1_000, 90)] {
        let workspace = workspace(&plugins::file("wrong-aggregator"), "wrong = \"grows\"");
        fold(
            &workspace,
            batch,
            &simulate(&format!("--racers {racers} --seconds {seconds} --class 3 --race 131 --seed 1")),
        );
        // The first one is 100.
        for racer in [100, 99 + racers] {
            assert_eq!(records(&workspace, &racer.to_string()), Some(Attribute::Integer(seconds)), "racer {racer}");
        }
        assert_eq!(workspace.items().len(), usize::try_from(racers).unwrap());
    }
}

#[test]
fn a_state_that_grows_up_to_its_bound_loses_nothing_at_any_batch_size() {
    require!(Plugins);
    // A record takes 30 to 40 bytes of the state.
    up_to_the_bound(&workspace(&plugins::file("wrong-aggregator"), "wrong = \"grows\""), 4_000);
}
