//! A race type is retired while a batch is written: `redrive` leaves alone what may be in the items already.

use std::sync::Arc;

use paceline_pipeline::model::BatchLimits;
use paceline_pipeline::receive::{NdjsonSource, Source};
use paceline_pipeline::store::EmbeddedStore;
use paceline_pipeline::summary::Summary;
use paceline_pipeline::{Pipeline, RetryPolicy, Rulebooks};
use paceline_testbed::{require, rules};

use crate::support::{DedupMode, Workspace, block_on, joined, paceline, rulebook, simulate, succeed};

/// Processes the first lines of the source, and ends before the checkpoint, as a process that is killed does.
fn write_in_part(workspace: &Workspace, lines: usize) {
    let rulebooks = Arc::new(Rulebooks::new(rules::engine(), workspace.registry(), rules::route()));
    block_on(rulebooks.poll()).unwrap();
    let limits = BatchLimits { max_records: lines, ..BatchLimits::default() };
    let mut source = NdjsonSource::file(&workspace.path("messages.ndjson"), None).unwrap();
    let mut batch = source.next(&limits).unwrap().unwrap();
    assert_eq!(batch.records.len(), lines);
    batch.checkpoint = None;
    let store = EmbeddedStore::open(&workspace.path("store.redb")).unwrap();
    let pipeline = Pipeline::new(store, rulebooks, limits, RetryPolicy::default());
    let outcome = block_on(pipeline.process(&batch, None, &mut Summary::default())).unwrap();
    assert!(outcome.first_uncommitted.is_none());
}

#[test]
fn a_redrive_leaves_unsure_dead_letters_alone_unless_it_is_asked() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Sequence);
    let unpinned = rulebook(3, 1, DedupMode::Sequence).replace("pin = \"/raceId\"\n", "");
    workspace.write("rulebooks/class-3.toml", unpinned);
    workspace.apply();
    workspace.write("messages.ndjson", joined(&simulate("--racers 3 --seconds 2 --class 3 --race 131 --seed 1")));
    write_in_part(&workspace, 2);
    workspace.ok(&["rules", "retire", "3"]);
    // Not by the workspace, which would activate the rulebook again.
    succeed(paceline(&["run", "--config"]).arg(workspace.path("paceline.toml")));

    let list = workspace.json(&["dead-letters", "list"]);
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 6);
    assert!(list.iter().all(|letter| letter["unsure"] == true && letter["reason"] == "no-rulebook"), "{list:?}");
    assert!(workspace.ok(&["dead-letters", "list"]).contains("no-rulebook, unsure"));
    let shown = workspace.ok(&["dead-letters", "show", list[0]["id"].as_str().unwrap()]);
    assert!(shown.contains("unsure") && shown.contains("its groups may hold the record already"), "{shown}");

    let (items, letters) = (workspace.items(), workspace.dead_letters());
    let done = workspace.json(&["dead-letters", "redrive", "--reason", "no-rulebook"]);
    assert_eq!(done, serde_json::json!({ "through": 0, "left": 0, "unsure": 6, "windows": 0 }));
    let told = workspace.ok(&["dead-letters", "redrive"]);
    assert!(told.starts_with("0 processed, 0 are still dead letters\n6 left alone, because they are unsure"), "{told}");
    assert!(told.contains("--unsure"), "{told}");
    assert_eq!((workspace.items(), workspace.dead_letters()), (items, letters));

    let done = workspace.json(&["dead-letters", "redrive", "--unsure"]);
    assert_eq!(done, serde_json::json!({ "through": 6, "left": 0, "unsure": 0, "windows": 0 }));
    assert_eq!(workspace.dead_letters(), []);
    assert_eq!(workspace.json(&["dead-letters", "redrive"])["unsure"], 0);
}
