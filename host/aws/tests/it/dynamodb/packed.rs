//! Packed groups in DynamoDB Local: what they cost, who else may write, and that nothing is in two places.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use paceline_aws::dynamodb::{DynamoDbStore, WriteWith};
use paceline_pipeline::model::{Attribute, Item, Key, Pack, Packing};
use paceline_pipeline::store::{GroupStore, Write, WriteOutcome};
use paceline_testbed::require;

use super::{Tables, fatal, item, load_one};

const PARTITION: &str = "race-3-5403307";

fn packing(into: u16) -> Arc<Packing> {
    Arc::new(Packing { into, show: vec!["output".into()], show_every: 1, alone: Some("GSI".into()) })
}

fn without_maps(into: u16) -> Arc<Packing> {
    Arc::new(Packing { show: Vec::new(), ..Packing::clone(&packing(into)) })
}

/// The key of a racer, whose group is in this item.
fn key(racer: usize, number: u16, packing: &Arc<Packing>) -> Key {
    let pack = Pack::new(number, Arc::clone(packing));
    Key { pack: Some(pack), ..Key::new(PARTITION, format!("racer-{racer}")) }
}

fn attributes(output: f64) -> Vec<(&'static str, Attribute)> {
    vec![("output", Attribute::Number(output)), ("second", Attribute::Integer(7))]
}

fn write(key: &Key, before: Option<&Item>, attributes: &[(&str, Attribute)]) -> Write {
    let expected = before.map(|item| item.revision);
    Write { key: key.clone(), expected, item: item(expected.unwrap_or(0) + 1, attributes) }
}

async fn outcomes(store: &DynamoDbStore, writes: &[Write]) -> Vec<WriteOutcome> {
    store.write_groups(writes).await.unwrap()
}

/// Loads, and writes each group once more.
async fn bump(store: &DynamoDbStore, keys: &[Key], attributes: &[(&str, Attribute)]) {
    let loaded = store.load_groups(keys).await.unwrap();
    let writes: Vec<Write> =
        keys.iter().zip(&loaded).map(|(key, item)| write(key, item.as_ref(), attributes)).collect();
    assert!(outcomes(store, &writes).await.iter().all(|outcome| *outcome == WriteOutcome::Done));
}

/// The outputs that an item shows to other programs.
async fn shown(tables: &Tables, number: u16) -> BTreeMap<String, String> {
    let key = Key::new(PARTITION, format!("@pack-{number:03}-shown"));
    let item = tables.raw(&key).await.expect("it is shown");
    let AttributeValue::M(outputs) = &item["output"] else { panic!("{item:?}") };
    outputs.iter().map(|(sort, output)| (sort.clone(), output.as_n().unwrap().clone())).collect()
}

fn owned((sort, output): (&str, &str)) -> (String, String) {
    (sort.to_owned(), output.to_owned())
}

#[tokio::test]
async fn what_is_shown_is_as_old_as_the_rulebook_allows() {
    require!(DynamoDbLocal);
    let (tables, each) = (Tables::new().await, packing(1));
    let packing = Arc::new(Packing { show_every: 3, ..Packing::clone(&each) });
    let (one, other) = (tables.store(WriteWith::Items), tables.store(WriteWith::Items));
    let keys = [key(1, 0, &packing), key(2, 0, &packing)];
    for (number, seen) in [(1, "1"), (2, "1"), (3, "1"), (4, "4"), (5, "4")] {
        bump(&one, &keys, &attributes(f64::from(number))).await;
        assert_eq!(shown(&tables, 0).await, [("racer-1", seen), ("racer-2", seen)].map(owned).into(), "{number}");
    }
    // By the revision of the shared item, whoever writes it.
    bump(&other, &keys[..1], &attributes(6.0)).await;
    assert_eq!(shown(&tables, 0).await, [("racer-1", "4"), ("racer-2", "4")].map(owned).into());
    bump(&other, &keys[1..], &attributes(7.0)).await;
    assert_eq!(shown(&tables, 0).await, [("racer-1", "6"), ("racer-2", "7")].map(owned).into());
    // Who has an item of its own is not shown twice.
    bump(&other, &keys[..1], &[attributes(8.0), vec![("GSI", Attribute::Integer(8))]].concat()).await;
    assert_eq!(shown(&tables, 0).await, [("racer-2", "7")].map(owned).into());
    // Nor is it a group.
    let listed = one.list_partition(PARTITION).await.unwrap();
    assert_eq!(listed.into_iter().map(|(key, _)| key.sort).collect::<Vec<_>>(), ["racer-1", "racer-2"]);
}

#[tokio::test]
async fn groups_of_an_item_are_read_written_and_listed_as_if_they_were_alone() {
    require!(DynamoDbLocal);
    let (tables, packing) = (Tables::new().await, packing(4));
    let store = tables.store(WriteWith::Statements);
    let keys: Vec<Key> = (0..10).map(|racer| key(racer, racer as u16 % 4, &packing)).collect();
    assert_eq!(store.load_groups(&keys).await.unwrap(), vec![None; 10]);
    bump(&store, &keys, &attributes(1.5)).await;
    bump(&store, &keys[3..], &attributes(2.5)).await;

    for store in [&store, &tables.store(WriteWith::Items), &tables.uncached(WriteWith::Items)] {
        let loaded = store.load_groups(&keys).await.unwrap();
        let revisions: Vec<u64> = loaded.iter().map(|item| item.as_ref().unwrap().revision).collect();
        assert_eq!(revisions, [1, 1, 1, 2, 2, 2, 2, 2, 2, 2]);
        assert_eq!(loaded[4].as_ref().unwrap(), &item(2, &attributes(2.5)));
        let listed = store.list_partition(PARTITION).await.unwrap();
        let expected: BTreeMap<Key, Item> = keys.iter().cloned().zip(loaded.into_iter().flatten()).collect();
        assert_eq!(listed.iter().cloned().collect::<BTreeMap<_, _>>(), expected);
        assert_eq!(listed, store.list_groups().await.unwrap());
    }
    // Four items, and what they show is readable without paceline.
    assert_eq!(shown(&tables, 3).await, [("racer-3", "2.5"), ("racer-7", "2.5")].map(owned).into());
    assert!(tables.raw(&keys[3]).await.is_none());
}

/// A key is loaded before it is checked where a race has no pin yet. One message must not stop its shard.
#[tokio::test]
async fn a_key_that_dynamodb_can_not_hold_has_no_group_and_the_others_are_loaded() {
    require!(DynamoDbLocal);
    let (tables, packing) = (Tables::new().await, packing(1));
    let store = tables.store(WriteWith::Items);
    let first = key(1, 0, &packing);
    bump(&store, std::slice::from_ref(&first), &attributes(1.0)).await;
    let at = |partition: &str, sort: &str| Key { pack: first.pack.clone(), ..Key::new(partition, sort) };
    let (long, longer) = ("p".repeat(2_049), "s".repeat(1_025));
    let invalid = [at("", "racer-1"), at(&long, "racer-1"), at("@pin/3", "racer-1"), at(PARTITION, &longer)];
    for store in [&store, &tables.uncached(WriteWith::Items)] {
        let before = store.usage().requests;
        assert_eq!(store.load_groups(&invalid).await.unwrap(), vec![None; 4]);
        assert_eq!(store.usage().requests, before, "nothing is read");
        let loaded = store.load_groups(&[&invalid[..], std::slice::from_ref(&first)].concat()).await.unwrap();
        assert_eq!(loaded.iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, false, false, true]);
    }
}

#[tokio::test]
async fn a_write_is_refused_if_the_group_and_not_if_only_its_neighbour_has_changed() {
    require!(DynamoDbLocal);
    let (tables, packing) = (Tables::new().await, packing(1));
    let (one, other) = (tables.store(WriteWith::Items), tables.store(WriteWith::Items));
    let keys: Vec<Key> = (0..3).map(|racer| key(racer, 0, &packing)).collect();
    bump(&one, &keys, &attributes(1.0)).await;
    let loaded = other.load_groups(&keys).await.unwrap();
    // The other host's copy of the item is stale from here on.
    bump(&one, &keys[..1], &attributes(2.0)).await;
    let writes: Vec<Write> =
        keys.iter().zip(&loaded).map(|(key, item)| write(key, item.as_ref(), &attributes(3.0))).collect();
    let expected = [WriteOutcome::Conflict, WriteOutcome::Done, WriteOutcome::Done];
    assert_eq!(outputs_after(&other, &writes, &keys).await, (expected.to_vec(), vec![2.0, 3.0, 3.0]));
    // A write whose answer was lost is repeated, and is done.
    assert_eq!(outcomes(&other, &writes[1..]).await, [WriteOutcome::Done, WriteOutcome::Done]);
    assert_eq!(outcomes(&tables.uncached(WriteWith::Items), &writes).await[0], WriteOutcome::Conflict);
}

async fn outputs_after(store: &DynamoDbStore, writes: &[Write], keys: &[Key]) -> (Vec<WriteOutcome>, Vec<f64>) {
    let outcomes = outcomes(store, writes).await;
    let loaded = store.load_groups(keys).await.unwrap();
    let output = |item: &Option<Item>| match item.as_ref().unwrap().attribute("output") {
        Some(Attribute::Number(output)) => *output,
        other => panic!("{other:?}"),
    };
    (outcomes, loaded.iter().map(output).collect())
}

#[tokio::test]
async fn a_final_moves_out_and_stays_out() {
    require!(DynamoDbLocal);
    let (tables, packing) = (Tables::new().await, packing(1));
    let (store, stale) = (tables.store(WriteWith::Statements), tables.store(WriteWith::Statements));
    let keys: Vec<Key> = (0..150).map(|racer| key(racer, 0, &packing)).collect();
    bump(&store, &keys, &attributes(1.0)).await;
    let before = stale.load_groups(&keys).await.unwrap();

    let result = [attributes(4.0), vec![("GSI", Attribute::Number(4.0))]].concat();
    bump(&store, &keys[..120], &result).await;
    let own = tables.raw(&keys[0]).await.unwrap();
    assert_eq!((&own["GSI"], &own["@revision"]), (&AttributeValue::N("4".into()), &AttributeValue::N("2".into())));
    assert!(tables.raw(&keys[120]).await.is_none());

    // Who does not know of it yet has a conflict, and finds them at their own place then.
    let late =
        [write(&keys[0], before[0].as_ref(), &result), write(&keys[130], before[130].as_ref(), &attributes(2.0))];
    assert_eq!(outcomes(&stale, &late).await, [WriteOutcome::Done, WriteOutcome::Done], "it is what is there");
    let other = write(&keys[1], before[1].as_ref(), &attributes(9.0));
    assert_eq!(outcomes(&stale, &[other]).await, [WriteOutcome::Conflict]);
    for store in [&store, &stale] {
        bump(store, &keys[..2], &result).await;
    }
    // One that is new where others have moved out.
    let joined = key(999, 0, &packing);
    bump(&stale, std::slice::from_ref(&joined), &attributes(5.0)).await;
    assert_eq!(load_one(&tables.store(WriteWith::Items), &joined).await.unwrap().revision, 1);

    let listed = store.list_partition(PARTITION).await.unwrap();
    assert_eq!(listed.len(), 151);
    assert_eq!(listed.iter().filter(|(_, item)| item.attribute("GSI").is_some()).count(), 120);
    assert!(listed.is_sorted_by(|(a, _), (b, _)| a < b), "each once");
}

/// Two aggregates of a rulebook, or two of its versions, may share items and pack their groups in other ways.
#[tokio::test]
async fn groups_that_share_an_item_keep_their_own_packing() {
    require!(DynamoDbLocal);
    let (tables, packing) = (Tables::new().await, packing(1));
    let other = Packing { show: vec!["second".into()], alone: None, ..Packing::clone(&packing) };
    let keys = [key(1, 0, &Arc::new(other)), key(2, 0, &packing)];
    let store = tables.store(WriteWith::Items);
    let result = [attributes(4.0), vec![("GSI", Attribute::Integer(4))]].concat();
    bump(&store, &keys, &result).await;
    assert!(tables.raw(&keys[0]).await.is_none(), "it stays in the shared item");
    assert!(tables.raw(&keys[1]).await.is_some(), "it has an item of its own");
    assert_eq!(store_revisions(&tables.store(WriteWith::Items), &keys).await, [1, 1]);
    // What both show is there still when the result has left.
    let item = tables.raw(&Key::new(PARTITION, "@pack-000-shown")).await.unwrap();
    let racers = |name: &str| item[name].as_m().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!((racers("output"), racers("second")), (vec!["racer-1".to_owned()], vec!["racer-1".to_owned()]));
}

/// A group that another host created and moved out after this one has looked must not be created a second time.
#[tokio::test]
async fn a_group_that_was_created_and_moved_meanwhile_is_a_conflict() {
    require!(DynamoDbLocal);
    let (tables, packing) = (Tables::new().await, packing(1));
    let (one, other) = (tables.store(WriteWith::Items), tables.store(WriteWith::Items));
    let (first, second) = (key(1, 0, &packing), key(2, 0, &packing));
    let result = vec![("GSI", Attribute::Integer(4))];
    bump(&one, std::slice::from_ref(&first), &result).await;
    assert_eq!(other.load_groups(std::slice::from_ref(&second)).await.unwrap(), [None]);
    bump(&one, std::slice::from_ref(&second), &result).await;
    for attributes in [attributes(1.0), result.clone()] {
        let late = write(&second, None, &[attributes, vec![("late", Attribute::Boolean(true))]].concat());
        assert_eq!(outcomes(&other, &[late]).await, [WriteOutcome::Conflict]);
    }
    assert_eq!(store_revisions(&other, &[first, second]).await, [1, 1]);
}

async fn store_revisions(store: &DynamoDbStore, keys: &[Key]) -> Vec<u64> {
    store.load_groups(keys).await.unwrap().iter().map(|item| item.as_ref().unwrap().revision).collect()
}

#[tokio::test]
async fn groups_that_do_not_fit_into_an_item_get_their_own() {
    require!(DynamoDbLocal);
    let (tables, packing) = (Tables::new().await, packing(1));
    let store = tables.store(WriteWith::Statements);
    let keys: Vec<Key> = (0..30).map(|racer| key(racer, 0, &packing)).collect();
    let large = |racer: usize, revision: u64| {
        let mut item = item(revision, &attributes(racer as f64 + 0.5));
        let mut random = fastrand::Rng::with_seed(racer as u64 + 100 * revision);
        item.state = std::iter::repeat_with(|| random.u8(..)).take(30_000).collect();
        item
    };
    for revision in 1..=2 {
        let write = |(racer, key): (usize, &Key)| Write {
            key: key.clone(),
            expected: (revision > 1).then(|| revision - 1),
            item: large(racer, revision),
        };
        let writes: Vec<Write> = keys.iter().enumerate().map(write).collect();
        assert!(outcomes(&store, &writes).await.iter().all(|outcome| *outcome == WriteOutcome::Done));
        let loaded = tables.store(WriteWith::Items).load_groups(&keys).await.unwrap();
        assert!(loaded.iter().enumerate().all(|(racer, item)| item.as_ref() == Some(&large(racer, revision))));
    }
    assert_eq!(store.list_partition(PARTITION).await.unwrap().len(), 30);
    let outputs = shown(&tables, 0).await;
    assert!((5..20).contains(&outputs.len()), "{} of 30 groups are in the shared item", outputs.len());
}

/// Hosts that add to the same groups at once, by the loop that the pipeline uses: nothing is lost, nothing is doubled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_lose_nothing() {
    require!(DynamoDbLocal);
    const ROUNDS: usize = 8;
    let (tables, packing) = (Tables::new().await, packing(2));
    let keys: Vec<Key> = (0..12).map(|racer| key(racer, racer as u16 % 2, &packing)).collect();
    let writers = (0..3).map(|writer| {
        let (store, keys) = (tables.store(WriteWith::Statements), keys.clone());
        tokio::spawn(async move {
            let mut random = fastrand::Rng::with_seed(writer);
            let (mut written, mut attempts) = (0, 0);
            for _ in 0..ROUNDS {
                let mut open: Vec<Key> = keys.iter().filter(|_| random.bool()).cloned().collect();
                while !open.is_empty() {
                    let loaded = store.load_groups(&open).await.unwrap();
                    // Now and then a racer finishes. A result stays.
                    let mut next = |item: Option<&Item>| {
                        let is_final = random.u8(..16) == 0 || item.is_some_and(|item| item.attribute("GSI").is_some());
                        let result = is_final.then_some(("GSI", Attribute::Integer(1)));
                        // What two writers write is never equal.
                        attempts += 1;
                        let own = Some(("by", Attribute::Text(format!("{writer}/{attempts}"))));
                        attributes(1.5).into_iter().chain(result).chain(own).collect::<Vec<_>>()
                    };
                    let groups = open.iter().zip(loaded.iter().map(Option::as_ref));
                    let writes: Vec<Write> = groups.map(|(key, item)| write(key, item, &next(item))).collect();
                    let mut outcomes = store.write_groups(&writes).await.unwrap().into_iter();
                    open.retain(|key| match outcomes.next().unwrap() {
                        WriteOutcome::Done => {
                            written += 1;
                            false
                        }
                        WriteOutcome::Conflict => true,
                        WriteOutcome::Transient(why) => panic!("{key}: {why}"),
                    });
                }
            }
            written
        })
    });
    let mut written = 0;
    for writer in writers.collect::<Vec<_>>() {
        written += writer.await.unwrap();
    }
    // Each write adds one to the revision of its group.
    let listed = tables.store(WriteWith::Items).list_partition(PARTITION).await.unwrap();
    assert!(listed.is_sorted_by(|(a, _), (b, _)| a < b), "each once");
    assert_eq!(listed.iter().map(|(_, item)| item.revision).sum::<u64>(), written);
    let finished = listed.iter().filter(|(_, item)| item.attribute("GSI").is_some()).count();
    assert!((1..12).contains(&finished), "some have items of their own: {finished}");
}

#[tokio::test]
async fn an_item_that_another_program_wrote_is_named() {
    require!(DynamoDbLocal);
    let (tables, packing) = (Tables::new().await, packing(1));
    let first = key(1, 0, &packing);
    let shared = Key::new(PARTITION, "@pack-000");
    tables.put_raw(&shared, &[("@pack-revision", AttributeValue::N("3".into()))]).await;
    let store = tables.store(WriteWith::Items);
    let error = fatal(store.load_groups(std::slice::from_ref(&first)).await);
    assert!(error.contains("race-3-5403307 / @pack-000") && error.contains("`@groups` is missing"), "{error}");
    let error = fatal(store.list_partition(PARTITION).await);
    assert!(error.contains("@pack-000"), "{error}");
}

#[tokio::test]
async fn an_item_of_another_program_at_the_key_of_a_final_is_not_overwritten() {
    require!(DynamoDbLocal);
    let (tables, packing) = (Tables::new().await, packing(1));
    let first = key(1, 0, &packing);
    let theirs = [("theirs", AttributeValue::Bool(true))];
    tables.put_raw(&first, &theirs).await;
    let store = tables.store(WriteWith::Items);
    bump(&store, std::slice::from_ref(&first), &attributes(1.0)).await;
    let loaded = load_one(&store, &first).await;
    let result = write(&first, loaded.as_ref(), &[("GSI", Attribute::Integer(4))]);
    let error = fatal(store.write_groups(&[result]).await);
    assert!(error.contains("race-3-5403307 / racer-1") && error.contains("was not written by paceline"), "{error}");
    assert!(tables.raw(&first).await.unwrap().contains_key("theirs"));
}

/// A host that dies between the writes of a result leaves one of these states. Who loads the group next completes it.
#[tokio::test]
async fn a_result_is_completed_by_whoever_loads_it() {
    require!(DynamoDbLocal);
    let (tables, packing) = (Tables::new().await, packing(1));
    let without = Arc::new(Packing { alone: None, ..Packing::clone(&packing) });
    let keys: Vec<Key> = (0..6).map(|racer| key(racer, 0, &packing)).collect();
    let not_yet: Vec<Key> = (0..6).map(|racer| key(racer, 0, &without)).collect();
    let result = [attributes(4.0), vec![("GSI", Attribute::Integer(4))]].concat();
    let shared = Key::new(PARTITION, "@pack-000");

    // The first write is that of a rulebook without results.
    let first = tables.store(WriteWith::Items);
    bump(&first, &not_yet, &attributes(1.0)).await;
    bump(&first, &not_yet[..4], &result).await;
    let in_pack = tables.raw(&shared).await.unwrap();
    assert!(tables.raw(&keys[0]).await.is_none());

    let completed = async |store: &DynamoDbStore| {
        assert_eq!(store_revisions(store, &keys[..4]).await, [2; 4]);
        let own = tables.raw(&keys[3]).await.unwrap();
        assert_eq!((&own["@revision"], &own["GSI"]), (&AttributeValue::N("2".into()), &AttributeValue::N("4".into())));
        assert_eq!(shown(&tables, 0).await.len(), 2);
        assert_eq!(store.list_partition(PARTITION).await.unwrap().len(), 6);
    };
    // The third write takes its own item for what decides.
    completed(&tables.store(WriteWith::Statements)).await;

    // A host has written the items of their own, and died before the groups left the shared item.
    let whole: Vec<(&str, AttributeValue)> =
        in_pack.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let restore = async || tables.put_raw(&shared, &whole).await;
    restore().await;
    assert_eq!(first.list_partition(PARTITION).await.unwrap().len(), 6, "each once");
    completed(&tables.store(WriteWith::Statements)).await;
    restore().await;
    completed(&tables.uncached(WriteWith::Items)).await;

    // An own item that got behind: a rulebook without results has changed the group since.
    restore().await;
    let behind = tables.uncached(WriteWith::Items);
    bump(&behind, &not_yet[..1], &result).await;
    assert_eq!(store_revisions(&tables.store(WriteWith::Items), &keys[..2]).await, [3, 2]);
    assert_eq!(tables.raw(&keys[0]).await.unwrap()["@revision"], AttributeValue::N("3".into()));

    // From here on their own items are written. The stale copy of another host changes nothing.
    bump(&behind, &keys[..4], &result).await;
    assert_eq!(store_revisions(&first, &keys[..4]).await, [4, 3, 3, 3]);
    // What is later than the shared item can't be a copy.
    restore().await;
    let error = fatal(tables.store(WriteWith::Items).load_groups(&keys).await);
    assert!(error.contains("racer-0 is later than the same group in race-3-5403307 / @pack-000"), "{error}");
}

/// A race ends: a write of the shared item, one of each result, and one of the shared item without them.
#[tokio::test]
async fn a_hundred_results_cost_a_write_each() {
    require!(DynamoDbLocal);
    let (tables, packing) = (Tables::new().await, without_maps(1));
    let store = tables.store(WriteWith::Items);
    let keys: Vec<Key> = (0..100).map(|racer| key(racer, 0, &packing)).collect();
    bump(&store, &keys, &attributes(100.25)).await;
    let before = store.usage();
    bump(&store, &keys, &[attributes(101.25), vec![("GSI", Attribute::Integer(4))]].concat()).await;
    let used = store.usage().since(before);
    assert_eq!(used.requests, 102);
    assert!((202.0..=208.0).contains(&used.write_units), "{used:?}");
    assert_eq!((used.read_units, used.refused_units), (0.0, 0.0));
}

/// The write units of one writer for a thousand small groups that resemble each other, as DynamoDB counts them.
#[tokio::test]
async fn a_thousand_groups_cost_a_dozen_units() {
    require!(DynamoDbLocal);
    let (tables, packing) = (Tables::new().await, without_maps(8));
    let store = tables.store(WriteWith::Statements);
    let keys: Vec<Key> = (0..1_000).map(|racer| key(racer, racer as u16 % 8, &packing)).collect();
    bump(&store, &keys, &attributes(100.25)).await;
    let before = store.usage();
    bump(&store, &keys, &attributes(101.25)).await;
    let used = store.usage().since(before);
    assert_eq!(used.requests, 8);
    assert!((8.0..=16.0).contains(&used.write_units), "{used:?}");
    assert_eq!(used.read_units, 0.0);
}
