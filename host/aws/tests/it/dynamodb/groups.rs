//! Items of groups: reads, conditional writes, conflicts.

use super::*;

/// Attributes of all types, with names in many scripts and characters.
fn varied_attributes() -> Vec<(&'static str, Attribute)> {
    vec![
        ("GSI", Attribute::Number(167.04)),
        ("class-id", Attribute::Integer(i64::MIN)),
        ("a b", Attribute::Text("it's \"so\" ?".into())),
        ("it's", Attribute::Boolean(false)),
        ("say \"so\"", Attribute::Number(-9.9e125)),
        ("#1", Attribute::Number(1e-130)),
        ("a.b[0]", Attribute::Number(3.0)),
        ("naïve 日本\n", Attribute::Text(String::new())),
        ("select", Attribute::Blob(vec![])),
        ("blob", Attribute::Blob(vec![0, 255])),
        ("?", Attribute::Number(1e17)),
    ]
}

#[tokio::test]
async fn both_kinds_of_writes_result_in_the_same_items() {
    require!(DynamoDbLocal);
    let tables = Tables::new().await;
    let plain = || vec![("GSI", Attribute::Integer(5)), ("was-here", Attribute::Boolean(true))];
    let steps = [
        varied_attributes(),
        plain(),
        vec![("GSI", Attribute::Integer(6))],
        vec![],
        varied_attributes(),
        varied_attributes(),
        vec![],
    ];
    let mut by_mode: Vec<Vec<BTreeMap<String, AttributeValue>>> = Vec::new();
    for mode in MODES {
        let store = tables.store(mode);
        let position = key("race-1", &format!("{mode:?}"));
        let mut revisions = Vec::new();
        for (at, attributes) in steps.iter().enumerate() {
            let expected = (at > 0).then_some(at as u64);
            let next = item(at as u64 + 1, attributes);
            assert_eq!(store.check_item(&position, &next), Ok(()));
            let written = store.write_groups(&[write(&position, expected, next.clone())]).await.unwrap();
            assert_eq!(written, [WriteOutcome::Done], "{mode:?}, step {at}");
            // The cached item equals the one in the table.
            let (cached, read) = (load_one(&store, &position).await, load_one(&tables.uncached(mode), &position).await);
            assert_eq!(cached, read);
            let read = read.unwrap();
            assert_eq!((&read.state, &read.dedup, &read.provenance), (&next.state, &next.dedup, &next.provenance));
            assert_eq!(read.attributes.len(), attributes.len());
            let mut raw = tables.raw(&position).await.unwrap();
            raw.remove("SK");
            revisions.push(raw);
        }
        by_mode.push(revisions);
    }
    assert_eq!(by_mode[0], by_mode[1]);
    let read = load_one(&tables.uncached(WriteWith::Items), &key("race-1", "Items")).await.unwrap();
    assert_eq!(read.revision, 7);
}

#[tokio::test]
async fn attributes_that_others_add_are_removed_by_the_next_write() {
    require!(DynamoDbLocal);
    let tables = Tables::new().await;
    for mode in MODES {
        let position = key("race-1", &format!("{mode:?}"));
        tables.store(mode).write_groups(&[increment(&position, None, 1)]).await.unwrap();
        let (tags, note) = (AttributeValue::Ss(vec!["x".into()]), AttributeValue::S("by hand".into()));
        tables.put_raw(&position, &[("tags", tags), ("note", note)]).await;
        let store = tables.store(mode);
        let found = load_one(&store, &position).await.unwrap();
        assert_eq!((found.attribute("note").is_some(), found.attribute("tags")), (true, None));
        assert_eq!(store.write_groups(&[increment(&position, Some(1), 2)]).await.unwrap(), [WriteOutcome::Done]);
        let raw = tables.raw(&position).await.unwrap();
        assert!(!raw.contains_key("tags") && !raw.contains_key("note") && raw.contains_key("GSI"), "{raw:?}");
    }
}

#[tokio::test]
async fn numbers_and_texts_round_trip() {
    require!(DynamoDbLocal);
    let tables = Tables::new().await;
    let store = tables.store(WriteWith::Statements);
    let position = key("race-1", "racer-1");
    store.write_groups(&[write(&position, None, item(1, &varied_attributes()))]).await.unwrap();
    let read = load_one(&tables.uncached(WriteWith::Items), &position).await.unwrap();
    for (name, value) in varied_attributes() {
        let wanted = match value {
            Attribute::Number(3.0) => Attribute::Integer(3),
            Attribute::Number(1e17) => Attribute::Integer(100_000_000_000_000_000),
            value => value,
        };
        assert_eq!(read.attribute(name), Some(&wanted), "{name}");
    }
}

#[tokio::test]
async fn a_write_of_a_changed_item_is_a_conflict_and_the_reload_sends_no_request() {
    require!(DynamoDbLocal);
    let tables = Tables::new().await;
    for mode in MODES {
        let (ours, theirs) = (tables.store(mode), tables.store(mode));
        let keys: Vec<Key> = ["new", "old", "gone"].map(|sort| key(&format!("{mode:?}"), sort)).to_vec();
        let (new, old, gone) = (&keys[0], &keys[1], &keys[2]);
        ours.write_groups(&[increment(old, None, 1), increment(gone, None, 1)]).await.unwrap();
        assert_eq!(ours.load_groups(&keys).await.unwrap()[0], None);
        theirs.load_groups(&keys).await.unwrap();
        theirs.write_groups(&[increment(new, None, 10), increment(old, Some(1), 20)]).await.unwrap();
        tables.client.delete_item().table_name(&tables.config.table).set_key(Some(key_map(gone))).send().await.unwrap();

        let writes = [increment(new, None, 11), increment(old, Some(1), 21), increment(gone, Some(1), 31)];
        assert_eq!(ours.write_groups(&writes).await.unwrap(), vec![WriteOutcome::Conflict; 3], "{mode:?}");
        let before = ours.usage();
        let found = ours.load_groups(&keys).await.unwrap();
        let revisions: Vec<Option<u64>> = found.iter().map(|item| item.as_ref().map(|item| item.revision)).collect();
        assert_eq!(revisions, [Some(1), Some(2), None]);
        assert_eq!((ours.usage().since(before).requests, ours.usage().since(before).cache_hits), (0, 3));
        let writes = [increment(new, Some(1), 11), increment(old, Some(2), 21), increment(gone, None, 31)];
        assert_eq!(ours.write_groups(&writes).await.unwrap(), vec![WriteOutcome::Done; 3], "{mode:?}");
    }
}

#[tokio::test]
async fn a_repeated_write_whose_response_was_lost_is_done() {
    require!(DynamoDbLocal);
    let tables = Tables::new().await;
    for mode in MODES {
        let position = key("race-1", &format!("{mode:?}"));
        let (first, again) = (tables.store(mode), tables.store(mode));
        again.load_groups(std::slice::from_ref(&position)).await.unwrap();
        for expected in [None, Some(1), Some(2)] {
            let write = write(&position, expected, item(expected.unwrap_or(0) + 1, &varied_attributes()));
            assert_eq!(first.write_groups(std::slice::from_ref(&write)).await.unwrap(), [WriteOutcome::Done]);
            assert_eq!(
                again.write_groups(std::slice::from_ref(&write)).await.unwrap(),
                [WriteOutcome::Done],
                "{mode:?}"
            );
            let before = again.usage();
            assert_eq!(load_one(&again, &position).await.unwrap().revision, write.item.revision);
            assert_eq!(again.usage().since(before).requests, 0);
        }
        // The same revision with other content is a conflict.
        assert_eq!(again.write_groups(&[increment(&position, Some(2), 1)]).await.unwrap(), [WriteOutcome::Conflict]);
    }
}

#[tokio::test]
async fn a_cancelled_write_is_not_cached() {
    require!(DynamoDbLocal);
    let tables = Tables::new().await;
    for mode in MODES {
        let store = tables.store(mode);
        let position = key("race-1", &format!("{mode:?}"));
        store.write_groups(&[increment(&position, None, 1)]).await.unwrap();
        let write = increment(&position, Some(1), 2);
        assert!(tokio::time::timeout(Duration::ZERO, store.write_groups(std::slice::from_ref(&write))).await.is_err());
        let before = store.usage();
        let found = load_one(&store, &position).await.unwrap().revision;
        assert_eq!(store.usage().since(before).cache_misses, 1);
        assert!([1, 2].contains(&found), "{found}");
        assert_eq!(store.write_groups(std::slice::from_ref(&write)).await.unwrap(), [WriteOutcome::Done]);
        assert_eq!(load_one(&tables.uncached(mode), &position).await.unwrap().revision, 2);
    }
}

#[tokio::test]
async fn duplicate_keys_are_read_once_and_written_in_order() {
    require!(DynamoDbLocal);
    let tables = Tables::new().await;
    for mode in MODES {
        let store = tables.store(mode);
        let keys: Vec<Key> = (0..230).map(|racer| key(&format!("{mode:?}"), &format!("racer-{racer:03}"))).collect();
        let twice: Vec<Key> = keys.iter().chain(&keys).cloned().collect();
        assert_eq!(store.load_groups(&twice).await.unwrap(), vec![None; 460]);
        assert_eq!(store.usage().requests, 3);
        assert_eq!(store.load_groups(&twice).await.unwrap(), vec![None; 460]);
        assert_eq!((store.usage().requests, store.usage().cache_hits), (3, 460), "the absence of items is cached");

        let mut writes: Vec<Write> = keys.iter().map(|key| increment(key, None, 1)).collect();
        // Of three writes of one key, the first is done, the second conflicts, and the third follows the first.
        writes.extend([increment(&keys[0], None, 2), increment(&keys[0], Some(1), 3)]);
        let mut wanted = vec![WriteOutcome::Done; 232];
        wanted[230] = WriteOutcome::Conflict;
        assert_eq!(store.write_groups(&writes).await.unwrap(), wanted);

        let uncached = tables.uncached(mode);
        let found = uncached.load_groups(&twice).await.unwrap();
        assert!(found[1..230].iter().flatten().all(|item| item.revision == 1) && found.iter().all(Option::is_some));
        assert_eq!((found[0].as_ref().unwrap().revision, &found[230..]), (2, &found[..230]));
        assert_eq!(store.load_groups(&twice).await.unwrap(), found);
        assert!(uncached.usage().read_units > 0.0);

        let partition = store.list_partition(&format!("{mode:?}")).await.unwrap();
        assert_eq!(partition.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>(), keys);
    }
    let all = tables.store(WriteWith::Items).list_groups().await.unwrap();
    assert_eq!(all.len(), 460);
    assert!(all.is_sorted_by(|(a, _), (b, _)| a < b));
}

#[tokio::test]
async fn large_items_are_read_in_pages() {
    require!(DynamoDbLocal);
    let tables = Tables::new().await;
    for mode in MODES {
        let store = tables.store(mode);
        let partition = format!("{mode:?}");
        let full = |sort: usize| {
            let position = key(&partition, &format!("{sort:03}"));
            let mut item = item(1, &[]);
            item.state = vec![7; 407_900];
            write(&position, None, item)
        };
        let writes: Vec<Write> = (0..45).map(full).collect();
        assert_eq!(store.check_item(&writes[0].key, &writes[0].item), Ok(()));
        assert_eq!(store.write_groups(&writes).await.unwrap(), vec![WriteOutcome::Done; 45]);
        let keys: Vec<Key> = writes.iter().map(|write| write.key.clone()).collect();
        // 18 MB, more than one response can hold.
        let uncached = tables.uncached(mode);
        let found = uncached.load_groups(&keys).await.unwrap();
        assert!(found.iter().all(|item| item.as_ref().is_some_and(|item| item.state.len() == 407_900)));
        assert!(uncached.usage().requests > 1);
        assert_eq!(store.list_partition(&partition).await.unwrap().len(), 45);
        let mut grown = writes[0].item.clone();
        grown.state.push(0);
        grown.state.extend([0; 1024]);
        let error = store.check_item(&writes[0].key, &grown).unwrap_err();
        assert_contains(&error.to_string(), &["408925 of them state", "the limit is 408576"]);
    }
}

#[tokio::test]
async fn the_largest_item_that_passes_the_check_is_written() {
    require!(DynamoDbLocal);
    let tables = Tables::new().await;
    for mode in MODES {
        let store = tables.store(mode);
        let position = key(&"p".repeat(2048), &format!("{mode:?}{}", "s".repeat(1000)));
        let mut largest = item(1, &varied_attributes());
        let fits = |item: &Item| store.check_item(&position, item).is_ok();
        for more in (0..20).rev().map(|bit| 1 << bit) {
            let mut larger = largest.clone();
            larger.state.resize(larger.state.len() + more, 1);
            if fits(&larger) {
                largest = larger;
            }
        }
        assert!(largest.state.len() > 400_000, "{}", largest.state.len());
        assert_eq!(store.write_groups(&[write(&position, None, largest)]).await.unwrap(), [WriteOutcome::Done]);
    }
}

#[tokio::test]
async fn an_item_of_another_program_is_not_overwritten() {
    require!(DynamoDbLocal);
    let tables = Tables::new().await;
    let position = key("race-1", "racer-1");
    tables.put_raw(&position, &[("GSI", AttributeValue::N("70".into())), ("ts", AttributeValue::N("1".into()))]).await;
    let before = tables.raw(&position).await;
    for mode in MODES {
        let store = tables.store(mode);
        let assert_names_item =
            |text: &str| assert_contains(text, &["race-1 / racer-1", "not written by paceline", &tables.config.table]);
        assert_names_item(&fatal(store.load_groups(std::slice::from_ref(&position)).await));
        assert_names_item(&fatal(store.write_groups(&[increment(&position, None, 1)]).await));
        assert_eq!(store.list_partition("race-1").await.unwrap(), []);
        assert_eq!(store.list_groups().await.unwrap(), []);
    }
    assert_eq!(tables.raw(&position).await, before);
}

#[tokio::test]
async fn keys_that_dynamodb_can_not_hold_do_not_fail_the_others() {
    require!(DynamoDbLocal);
    let tables = Tables::new().await;
    let store = tables.store(WriteWith::Statements);
    let good = key("race-1", "racer-1");
    store.write_groups(&[increment(&good, None, 1)]).await.unwrap();
    let keys = [key("", "a"), good, key(&"p".repeat(3000), "a"), key("p", &"s".repeat(1025)), key("@checkpoint", "x")];
    let found = tables.uncached(WriteWith::Items).load_groups(&keys).await.unwrap();
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false, false, false]);
    for key in [&keys[0], &keys[2], &keys[3], &keys[4]] {
        assert!(store.check_item(key, &item(1, &[])).is_err());
    }
    for partition in ["", "@checkpoint", &"p".repeat(3000)] {
        assert_eq!(store.list_partition(partition).await.unwrap(), []);
    }
}

#[tokio::test]
async fn concurrent_hosts_lose_no_write() {
    require!(DynamoDbLocal);
    let tables = Tables::new().await;
    for mode in MODES {
        let position = key("race-1", &format!("{mode:?}"));
        let count = |store: DynamoDbStore, position: Key| async move {
            for _ in 0..20 {
                loop {
                    let before = load_one(&store, &position).await;
                    let (revision, sum) = match &before {
                        Some(item) => match item.attribute("GSI") {
                            Some(Attribute::Integer(sum)) => (Some(item.revision), *sum),
                            other => panic!("{other:?}"),
                        },
                        None => (None, 0),
                    };
                    // Random states distinguish the writes of the hosts.
                    let mut write = increment(&position, revision, sum + 1);
                    write.item.state = fastrand::u64(..).to_be_bytes().to_vec();
                    if store.write_groups(&[write]).await.unwrap() == [WriteOutcome::Done] {
                        break;
                    }
                }
            }
        };
        let (a, b) = (count(tables.store(mode), position.clone()), count(tables.store(mode), position.clone()));
        tokio::join!(a, b);
        let found = load_one(&tables.uncached(mode), &position).await.unwrap();
        assert_eq!((found.revision, found.attribute("GSI")), (40, Some(&Attribute::Integer(40))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_need_one_request_for_25_items() {
    require!(DynamoDbLocal);
    let tables = Tables::new().await;
    for mode in MODES {
        let store = tables.store(mode);
        let keys: Vec<Key> = (0..1000).map(|racer| key("race-1", &format!("{mode:?}-{racer}"))).collect();
        for round in 0..4_u64 {
            let expected = (round > 0).then_some(round);
            let writes: Vec<Write> = keys.iter().map(|key| increment(key, expected, round as i64)).collect();
            let before = store.usage();
            assert_eq!(store.write_groups(&writes).await.unwrap(), vec![WriteOutcome::Done; 1000]);
            let used = store.usage().since(before);
            assert_eq!(used.requests, if mode == WriteWith::Statements { 40 } else { 1000 });
        }
    }
}
