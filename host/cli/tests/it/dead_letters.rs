//! Dead letters are listed, shown and redriven.

use crate::support::{DedupMode, Workspace, joined, oracle, rulebook, simulate};
use paceline_pipeline::model::{Cause, DeadLetter, Reason, RecordPosition};
use paceline_pipeline::store::{CheckpointStore, DeadLetterStore, EmbeddedStore};
use paceline_testbed::outcome::block_on;
use paceline_testbed::require;
use serde_json::json;

fn workspace_with_two_classes(dedup: DedupMode) -> (Workspace, Vec<Vec<u8>>) {
    let workspace = Workspace::new(dedup);
    let mut lines = simulate("--racers 10 --seconds 10 --class 3 --race 131 --seed 1 --errors 10");
    // One racer's messages name a class that has no rulebook yet.
    lines.iter_mut().for_each(|line| {
        if let Ok(text) = std::str::from_utf8(line)
            && text.contains("\"racerId\":105,")
        {
            *line = text.replace("\"classId\":3,", "\"classId\":4,").into_bytes();
        }
    });
    workspace.write("messages.ndjson", joined(&lines));
    workspace.run();
    (workspace, lines)
}

/// Keys and payloads are what producers sent.
#[test]
fn control_characters_do_not_reach_the_terminal() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let rulebook = rulebook(3, 1, DedupMode::Ordinal);
    workspace.write(
        "rulebooks/class-3.toml",
        rulebook.replace("racerId = \"{/racerId}\", ruled", "racerId = \"{/label}\", ruled"),
    );
    let valid = simulate("--racers 1 --seconds 2 --class 3 --race 131 --seed 1");
    let named = String::from_utf8(valid[0].clone()).unwrap().replace("{", "{\"label\":\"\\u001b[31mevil\\nrow\",");
    workspace.write("messages.ndjson", format!("{named}\n\u{1b}[31m\u{1b}]0;title\u{7} no JSON\n"));
    let summary = workspace.run();
    assert_eq!((&summary["records"], &summary["deadLetters"]), (&json!(2), &json!(1)), "{summary}");
    let letters = workspace.json(&["dead-letters", "list"]);
    let id = letters[0]["id"].as_str().unwrap();
    assert!(letters[0]["payload"].as_str().unwrap().starts_with("\u{1b}[31m"), "JSON has what was sent: {letters}");
    for (command, shown, lines) in [
        (&["dead-letters", "show", id][..], "\\u{1b}[31m\\u{1b}]0;title\\u{7} no JSON", None),
        (&["dead-letters", "list"], "", Some(2)),
        (&["leaderboard", "--class", "3", "--race", "131"], "\\u{1b}[31mevil\\nrow", Some(2)),
    ] {
        let text = workspace.ok(command);
        assert!(text.contains(shown), "{text}");
        assert!(!text.contains(|letter: char| letter.is_control() && letter != '\n'), "{text:?}");
        assert!(lines.is_none_or(|lines| text.lines().count() == lines), "{text}");
    }
}

fn redrive_counts_each_record_once(dedup: DedupMode) {
    let (workspace, _) = workspace_with_two_classes(dedup);
    let before = workspace.dead_letters();
    let without_rulebook = before.iter().filter(|letter| letter.reason.text.contains("race type `4`")).count();
    assert_eq!(without_rulebook, 10);
    // Without the rulebook they are rejected again and are the same dead letters as before.
    let done = workspace.json(&["dead-letters", "redrive", "--reason", "no-rulebook"]);
    assert_eq!((&done["through"], &done["left"]), (&json!(0), &json!(10)));
    let numbered = workspace.dead_letters().into_iter();
    let after: Vec<_> = numbered.map(|letter| DeadLetter { redrive_sequence: None, ..letter }).collect();
    assert_eq!(after, before);

    workspace.write("rulebooks/class-4.toml", rulebook(4, 1, dedup));
    let done = workspace.json(&["dead-letters", "redrive", "--reason", "no-rulebook"]);
    assert_eq!(done["through"], 10);
    assert_eq!(workspace.dead_letters().len(), before.len() - 10);
    let valid = simulate("--racers 10 --seconds 10 --class 3 --race 131 --seed 1");
    let is_redriven = |line: &&Vec<u8>| String::from_utf8_lossy(line).contains("\"racerId\":105,");
    let (redriven, others): (Vec<_>, Vec<_>) = valid.iter().partition(is_redriven);
    for (class, lines) in [("3", others), ("4", redriven)] {
        let lines: Vec<_> = lines.into_iter().cloned().collect();
        let race = workspace.json(&["leaderboard", "--class", class, "--race", "131"]);
        assert_eq!(race, oracle::race(&lines, 131), "class {class}");
    }
    let seconds = workspace.items().into_values().filter_map(|item| item.attribute("seconds").cloned());
    assert!(seconds.into_iter().all(|seconds| seconds == paceline_pipeline::model::Attribute::Integer(10)));

    // Once more changes nothing.
    let items = workspace.items();
    assert_eq!(workspace.json(&["dead-letters", "redrive"])["through"], 0);
    assert_eq!(workspace.items(), items);
}

#[test]
fn redriven_records_are_counted_once_with_sequence_dedup() {
    require!(Plugins);
    redrive_counts_each_record_once(DedupMode::Sequence);
}

#[test]
fn redriven_records_are_counted_once_with_ordinal_dedup() {
    require!(Plugins);
    redrive_counts_each_record_once(DedupMode::Ordinal);
}

#[test]
fn dead_letters_are_listed_in_record_order_and_shown_in_full() {
    require!(Plugins);
    let (workspace, lines) = workspace_with_two_classes(DedupMode::Ordinal);
    let list = workspace.json(&["dead-letters", "list"]);
    let list = list.as_array().unwrap();
    let at: Vec<u64> = list.iter().map(|letter| letter["sequence"].as_str().unwrap().parse().unwrap()).collect();
    assert!(at.is_sorted() && !at.is_empty());
    let letter = list.iter().find(|letter| letter["text"].as_str().unwrap().contains("race type `4`")).unwrap();
    let id = letter["id"].as_str().unwrap();
    assert_eq!(id, format!("messages.ndjson:{}", letter["sequence"].as_str().unwrap()));
    assert_eq!(workspace.json(&["dead-letters", "show", id]), *letter);
    assert!(lines.contains(&letter["payload"].as_str().unwrap().as_bytes().to_vec()));
    let shown = workspace.ok(&["dead-letters", "show", id]);
    assert!(shown.contains("there is no rulebook for race type `4`"), "{shown}");
    let table = workspace.ok(&["dead-letters", "list"]);
    assert_eq!(table.lines().count(), list.len() + 1);
    let error = workspace.fails(&["dead-letters", "show", "nowhere:1"]);
    assert_eq!(error, "paceline: there is no dead letter nowhere:1\n");
    let output = workspace.command(&["dead-letters", "redrive", "--reason", "bad-luck"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("no such reason; the reasons are: empty, too-large"));
}

#[test]
fn the_letter_of_a_window_is_redriven_as_such_and_keeps_its_reason_where_it_can_not_be() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.write("messages.ndjson", joined(&simulate("--racers 2 --seconds 5 --class 3 --race 131 --seed 1")));
    workspace.run();
    let items = workspace.items();
    let (key, item) = items.iter().find(|(key, _)| key.partition.starts_with("race-")).unwrap();
    // The same rows once more, as the letter of a window: dedup knows them.
    let hex: String = item.state.iter().map(|byte| format!("{byte:02x}")).collect();
    let payload = |records: serde_json::Value| {
        json!({ "window": {
            "PK": key.partition, "SK": key.sort, "rulebook": item.provenance.rulebook.digest, "aggregate": 0,
            "attributes": [], "reruled": false, "records": records,
        } })
        .to_string()
    };
    let letter = |id: &str, payload: String| DeadLetter {
        id: format!("alleycat/shardId-000000000000:window.{id}"),
        shard: "alleycat/shardId-000000000000".to_owned(),
        position: RecordPosition::default(),
        partition_key: None,
        arrival_ms: None,
        payload: payload.into_bytes(),
        cut_from: None,
        reason: Reason::new(Cause::PluginFailed, "the plugin did not merge"),
        redrive_sequence: None,
        folded: Vec::new(),
        unsure: false,
    };
    let whole = letter("1", payload(json!([{ "ordinal": 1, "state": hex }, { "ordinal": 2, "state": hex }])));
    let cut = letter("2", payload(json!([{ "ordinal": 1 }])));
    {
        let store = EmbeddedStore::open(&workspace.path("store.redb")).unwrap();
        block_on(async {
            store.put_dead_letters(&[whole, cut.clone()]).await.unwrap();
            store.flush().await.unwrap();
        });
    }
    let redriven = workspace.json(&["dead-letters", "redrive"]);
    assert_eq!(redriven, json!({ "through": 1, "left": 0, "unsure": 0, "windows": 1 }));
    assert_eq!(workspace.items(), items);
    let left = workspace.dead_letters();
    let [left] = &left[..] else { panic!("{left:?}") };
    assert_eq!((&left.id, &left.reason, &left.payload), (&cut.id, &cut.reason, &cut.payload));
    let text = workspace.ok(&["dead-letters", "redrive"]);
    assert!(
        text.contains("1 of tumbling windows left alone") && text.contains("`paceline run` with `start`"),
        "{text}"
    );
}

#[test]
fn more_letters_than_are_in_memory_at_once_are_redriven_in_their_order() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Sequence);
    let lines = simulate("--racers 5 --seconds 500 --class 4 --race 131 --seed 1");
    workspace.write("messages.ndjson", joined(&lines));
    workspace.run();
    assert_eq!(workspace.dead_letters().len(), lines.len());
    assert!(lines.len() > 2_000, "{}", lines.len());
    workspace.write("rulebooks/class-4.toml", rulebook(4, 1, DedupMode::Sequence));
    assert_eq!(workspace.json(&["dead-letters", "redrive"])["through"], lines.len());
    assert_eq!(workspace.dead_letters(), []);
    assert_eq!(workspace.json(&["leaderboard", "--class", "4", "--race", "131"]), oracle::race(&lines, 131));
}
