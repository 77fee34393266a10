//! Dead letters of windows: only rows that can't be merged get one, and it can be redriven.

use paceline_engine::Digest;
use paceline_pipeline::Pipeline;
use paceline_pipeline::dedup::MAX_RUNS;
use paceline_pipeline::model::{Attribute, Batch, Cause, DeadLetter};
use paceline_pipeline::store::{DeadLetterStore, GroupStore};
use paceline_pipeline::summary::Summary;
use paceline_pipeline::window::{Window, WindowRedrive};
use paceline_testbed::require;
use serde_json::Value;

use crate::support::{FlakyStore, block_on, committed, host, open};

const SHARD: &str = "alleycat/shardId-000000000000";
const SEQUENCE: &str = r#""sequence""#;
const ORDINAL: &str = r#"{ ordinal = "/second" }"#;

/// A host whose aggregator counts records, and does this when it merges.
fn host_that(deed: &str, dedup: &str, store: &FlakyStore) -> Pipeline<FlakyStore> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("rulebooks")).unwrap();
    let rulebook = format!(
        r#"
name = "class-3"
version = 1
pin = "/raceId"
[score]
plugin = "output"
[[aggregate]]
plugin = "evil-aggregator"
settings = {{ deed = "{deed}" }}
key = {{ PK = "race-{{/raceId}}", SK = "racer-{{/racerId}}" }}
dedup = {dedup}
"#
    );
    std::fs::write(folder.path().join("rulebooks/class-3.toml"), rulebook).unwrap();
    paceline_testbed::rules::map(&folder.path().join("rulebooks"));
    host(store.clone(), &open(folder.path()).0)
}

/// Seconds of a racer as a batch, the first at this place, all of them with this arrival.
fn batch(racer: u64, seconds: impl IntoIterator<Item = u64>, first: u64, arrival_ms: i64) -> Batch {
    let mut batch = Batch::new(SHARD.into());
    for (at, second) in (first..).zip(seconds) {
        let message = format!(
            r#"{{"event":"update","second":{second},"raceId":131,"racerId":{racer},"classId":3,"cadence":70,"resistance":50}}"#
        );
        batch.push(message.as_bytes(), at.into());
        batch.records.last_mut().unwrap().arrival_ms = Some(arrival_ms);
    }
    batch
}

fn process(host: &Pipeline<FlakyStore>, batch: &Batch) {
    committed(host.process(batch, None, &mut Summary::default()));
}

/// Batches in a window of their own, which is flushed. Returns its dead letters.
fn flush(host: &Pipeline<FlakyStore>, batches: &[Batch]) -> Vec<DeadLetter> {
    let (mut window, mut summary) = (Window::new(SHARD.into()), Summary::default());
    for batch in batches {
        block_on(host.accumulate(batch, &mut window, None, &mut summary)).unwrap();
    }
    block_on(host.flush_window(&window, None, &mut summary)).unwrap();
    let letters = letters(host);
    // As after a time-out: nothing changes.
    block_on(host.flush_window(&window, None, &mut summary)).unwrap();
    assert_eq!(self::letters(host).len(), letters.len());
    letters
}

fn letters(host: &Pipeline<FlakyStore>) -> Vec<DeadLetter> {
    block_on(host.store().list_dead_letters()).unwrap()
}

/// How many records of a racer are in its group.
fn count(host: &Pipeline<FlakyStore>, racer: u64) -> i64 {
    let items = block_on(host.store().list_groups()).unwrap();
    let item = items.into_iter().find(|(key, _)| key.sort == format!("racer-{racer}")).expect("the group exists").1;
    match item.attribute("count") {
        Some(Attribute::Integer(count)) => *count,
        other => panic!("{other:?}"),
    }
}

fn rows(letter: &DeadLetter) -> Vec<Value> {
    let payload: Value = serde_json::from_slice(&letter.payload).unwrap();
    assert_eq!(payload["window"]["PK"], "race-131");
    payload["window"]["records"].as_array().unwrap().clone()
}

/// Redrives a letter, which has or gets its redrive sequence.
fn redrive(host: &Pipeline<FlakyStore>, letter: &DeadLetter) -> WindowRedrive {
    let numbered = block_on(host.store().assign_redrive_sequences(std::slice::from_ref(&letter.id))).unwrap();
    block_on(host.redrive_window(&numbered[0], &mut Summary::default())).unwrap()
}

#[test]
fn an_ordinal_below_the_horizon_is_a_letter_for_itself_and_the_rows_beside_it_are_merged() {
    require!(Plugins);
    let host = host_that("nothing", ORDINAL, &FlakyStore::default());
    // More runs than the group keeps: which of the lowest seconds it holds is not known.
    let many = MAX_RUNS as u64 + 10;
    process(&host, &batch(1, (0..many).map(|nth| 2 * nth), 0, 0));
    let before = count(&host, 1);
    let letters = flush(&host, &[batch(1, [3, 90_001], many, 0), batch(2, [1, 2], many + 2, 0)]);
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert!(letter.unsure && letter.is_of_window(), "{letter:?}");
    assert_eq!((letter.reason.cause, rows(letter).len()), (Cause::TooOld, 1));
    assert_eq!(rows(letter)[0]["ordinal"], 3);
    // The state of the evil aggregator is one byte.
    assert_eq!((count(&host, 1), count(&host, 2)), ((before + 1) % 256, 2));
    // It is not known later, either.
    assert_eq!(redrive(&host, letter), WindowRedrive::Rejected);
    assert_eq!(self::letters(&host).len(), 1);
}

#[test]
fn rows_of_a_stream_that_was_created_again_are_letters_and_the_others_are_merged() {
    require!(Plugins);
    let host = host_that("nothing", SEQUENCE, &FlakyStore::default());
    process(&host, &batch(1, [1, 2, 3], 100, 10_000));
    // The new stream counts from one again, and comes past the old one.
    let letters = flush(&host, &[batch(1, [4, 5], 7, 60_000), batch(2, [4], 9, 60_000), batch(1, [6], 103, 61_000)]);
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((letter.reason.cause, letter.unsure), (Cause::OtherStream, true));
    let rows = rows(letter);
    assert_eq!((rows.len(), &rows[0]["sequence"], &rows[1]["sequence"]), (2, &"7".into(), &"8".into()));
    assert_eq!((count(&host, 1), count(&host, 2)), (4, 1));

    // Redriven, they count once, whoever redrives them.
    let numbered = block_on(host.store().assign_redrive_sequences(std::slice::from_ref(&letter.id))).unwrap();
    for _ in 0..2 {
        let redriven = block_on(host.redrive_window(&numbered[0], &mut Summary::default())).unwrap();
        assert_eq!((redriven, count(&host, 1)), (WindowRedrive::Merged, 6));
    }
    assert_eq!(self::letters(&host), []);
}

#[test]
fn rows_that_a_plugin_can_not_merge_are_letters_until_it_can() {
    require!(Plugins);
    let host = host_that("merge-trap-on-pair", ORDINAL, &FlakyStore::default());
    // It traps on a state of 66.
    process(&host, &batch(1, 0..66, 0, 0));
    let letters = flush(&host, &[batch(1, [65, 70, 71], 66, 0)]);
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((letter.reason.cause, letter.unsure), (Cause::PluginFailed, false));
    // The item holds second 65.
    let ordinals: Vec<Value> = rows(letter).into_iter().map(|row| row["ordinal"].clone()).collect();
    assert_eq!(ordinals, [70, 71]);
    assert_eq!(redrive(&host, letter), WindowRedrive::Rejected);
    let [again] = &self::letters(&host)[..] else { panic!("one letter, under its id") };
    assert_eq!((&again.id, again.reason.cause, &again.payload), (&letter.id, Cause::PluginFailed, &letter.payload));

    process(&host, &batch(1, [71], 80, 0));
    assert_eq!(count(&host, 1), 67);
    assert_eq!(redrive(&host, letter), WindowRedrive::Merged);
    // Second 71 came by itself meanwhile.
    assert_eq!((count(&host, 1), self::letters(&host)), (68, vec![]));
}

#[test]
fn a_group_of_many_rows_gets_several_letters_that_fit_into_a_table_and_list_sub_sequences() {
    require!(Plugins);
    let host = host_that("merge-trap", SEQUENCE, &FlakyStore::default());
    let mut rows_of = batch(1, 0..4_000, 0, 5);
    // Two user records in each aggregate.
    for (at, record) in (0_u64..).zip(&mut rows_of.records) {
        (record.position.sequence, record.position.sub_sequence) = ((at / 2).into(), at % 2);
    }
    let letters = flush(&host, &[rows_of]);
    assert!(letters.len() > 1, "{}", letters.len());
    let mut positions = Vec::new();
    for letter in &letters {
        assert!(letter.payload.len() < 300 << 10, "{}", letter.payload.len());
        // A flush that is repeated may merge what it could not.
        assert!(letter.unsure && letter.is_of_window());
        assert_eq!(letter.id, format!("{SHARD}:window.{}", &Digest::of(&letter.payload).hex()[..16]));
        let position =
            |row: &Value| (row["sequence"].as_str().unwrap().parse().unwrap(), row["subSequence"].as_u64().unwrap());
        positions.extend(rows(letter).iter().map(position));
    }
    positions.sort_unstable();
    let all: Vec<(u64, u64)> = (0..4_000).map(|at| (at / 2, at % 2)).collect();
    assert_eq!(positions, all);
    let cut = DeadLetter { cut_from: Some(1 << 20), ..letters[0].clone() };
    let redriven = block_on(host.redrive_window(&cut, &mut Summary::default())).unwrap();
    assert_eq!(redriven, WindowRedrive::NotWhole);
}
