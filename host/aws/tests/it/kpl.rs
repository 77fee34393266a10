//! Aggregates of the Kinesis Producer Library: unpacked and packed, compared with a third party's and with `prost`.

mod aggregates;
mod arbitrary;
mod packing;

use std::path::Path;

use md5::{Digest, Md5};
use paceline_aws::base64;
use paceline_aws::kpl::{hash_key, unpack};
use paceline_pipeline::model::{Cause, Checkpoint, Reason};
use prost::Message;
use serde_json::Value;

use self::aggregates::{
    Aggregate, Inner, Seen, Tag, UserRecord, aggregate, batch, encoded, framed, inner, outer, pack, ranged, seen,
    unpacked, user,
};

// A third party's aggregates.

/// Name, user records, aggregate.
fn vectors() -> Vec<(String, Vec<UserRecord>, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kpl");
    let mut vectors = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let users: Vec<Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let user = |value: &Value| UserRecord {
            key: text(&value["partition_key"]).unwrap(),
            hash: text(&value["explicit_hash_key"]).map(|key| key.parse().unwrap()),
            data: base64::decode(text(&value["data"]).unwrap().as_bytes()).unwrap(),
        };
        let aggregate = std::fs::read(path.with_extension("base64")).unwrap();
        let aggregate = base64::decode(aggregate.trim_ascii()).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        vectors.push((name, users.iter().map(user).collect(), aggregate));
    }
    assert_eq!(vectors.len(), 8, "the folder has other vectors");
    vectors
}

#[test]
fn aggregates_of_a_third_party_are_unpacked() {
    for (name, users, aggregate) in vectors() {
        let expected: Vec<_> = (0..).zip(&users).map(|(sub, user)| inner(0, sub, user)).collect();
        assert_eq!(unpacked(&[aggregate]), expected, "{name}");
    }
}

#[test]
fn aggregates_equal_a_third_partys_byte_for_byte() {
    for (name, users, expected) in vectors() {
        let packed = pack(&users, usize::MAX);
        assert_eq!(packed.len(), 1, "{name}");
        if users.len() == 1 {
            assert_eq!((&packed[0].data, &packed[0].partition_key), (&users[0].data, &users[0].key), "{name}");
        } else {
            assert_eq!(packed[0].data, expected, "{name}");
        }
    }
}

#[test]
fn a_hash_key_is_the_partition_keys_md5_as_a_number() {
    // The output of `printf a | md5sum`.
    assert_eq!(hash_key("a"), 0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661);
    assert_eq!(hash_key("Zürich"), u128::from_be_bytes(Md5::digest("Zürich".as_bytes()).into()));
}

// Batches.

#[test]
fn user_records_replace_their_aggregate_in_order() {
    let users = [user("k", "one"), user("l", "two"), user("k", "three")];
    let aggregate = aggregate(&users);
    let expected = vec![
        outer(0, b"{}"),
        inner(1, 0, &users[0]),
        inner(1, 1, &users[1]),
        inner(1, 2, &users[2]),
        outer(2, b""),
        inner(3, 0, &users[0]),
        inner(3, 1, &users[1]),
        inner(3, 2, &users[2]),
        outer(4, b"last"),
    ];
    assert_eq!(unpacked(&[b"{}", &aggregate[..], b"", &aggregate, b"last"]), expected);
}

#[test]
fn a_batch_without_aggregates_is_not_changed() {
    let mut batch = batch(&[&b"{}"[..], b"", b"\xf3\x89\x9a", b"plain"]);
    batch.undecodable = vec![(2, "because".to_owned())];
    let (before, stood, bytes) = (seen(&batch), batch.records.as_ptr(), batch.bytes.clone());
    assert_eq!(unpack(&mut batch, Some((0, 0))), 0);
    assert_eq!((seen(&batch), batch.bytes), (before, bytes));
    assert_eq!(batch.records.as_ptr(), stood, "the records were moved");
}

#[test]
fn undecodable_records_stay_undecodable_after_aggregates() {
    let users = [user("k", "one"), user("l", "two"), user("k", "three")];
    let aggregate = aggregate(&users);
    // The fourth is an aggregate, but its data could not be decoded: it stays as it is.
    let mut batch = batch(&[b"?", &aggregate[..], b"!", &aggregate, b"{}"]);
    batch.undecodable = vec![(0, "first".into()), (2, "third".into()), (3, "fourth".into())];
    batch.checkpoint = Some(Checkpoint { sequence: 9.into(), ..Checkpoint::default() });
    unpack(&mut batch, None);
    let why = |at, payload: &[u8], why: &str| (at, 0, Some(format!("outer-{at}")), payload.to_vec(), Some(why.into()));
    let expected = vec![
        why(0, b"?", "first"),
        inner(1, 0, &users[0]),
        inner(1, 1, &users[1]),
        inner(1, 2, &users[2]),
        why(2, b"!", "third"),
        why(3, &aggregate, "fourth"),
        outer(4, b"{}"),
    ];
    assert_eq!(seen(&batch), expected);
    assert_eq!(batch.checkpoint, Some(Checkpoint { sequence: 9.into(), ..Checkpoint::default() }));
}

#[test]
fn an_aggregate_without_user_records_disappears_and_the_checkpoint_is_past_it() {
    let empty = encoded(&["key"], &["1"], &[]);
    assert_eq!(unpacked(&[&b"{}"[..], &empty, b"{}"]), [outer(0, b"{}"), outer(2, b"{}")]);
    let mut batch = batch(&[empty]);
    batch.checkpoint = Some(Checkpoint { sequence: 9.into(), ..Checkpoint::default() });
    unpack(&mut batch, None);
    assert!(batch.records.is_empty() && batch.undecodable.is_empty());
    assert_eq!(batch.checkpoint, Some(Checkpoint { sequence: 9.into(), ..Checkpoint::default() }));
}

#[test]
fn a_record_that_only_begins_like_an_aggregate_is_an_ordinary_record() {
    let whole = aggregate(&[user("k", "one"), user("l", "two")]);
    let lacking = |field: &str| {
        let record = Inner {
            partition_key: (field != "key").then_some(0),
            data: (field != "data").then(Vec::new),
            tags: (field == "tag").then(Tag::default).into_iter().collect(),
            hash_key: None,
        };
        let message = Aggregate { partition_keys: vec![b"k".to_vec()], hash_keys: vec![], records: vec![record] };
        framed(&message.encode_to_vec())
    };
    assert_eq!(unpacked(&[lacking("nothing")]).len(), 1);
    assert_eq!(unpacked(&[lacking("nothing")])[0].2.as_deref(), Some("k"));
    let payloads = [
        whole[..4].to_vec(),
        whole[..20].to_vec(),
        // Too short for a message.
        framed(b""),
        whole[..whole.len() - 1].to_vec(),
        [&whole[..], b"\n"].concat(),
        [b" ", &whole[..]].concat(),
        framed(b"{\"not\":\"protobuf\"}"),
        // A truncated record.
        framed(&[0x1a, 5, 8, 0]),
        lacking("key"),
        lacking("data"),
        lacking("tag"),
    ];
    let expected: Vec<_> = (0..).zip(&payloads).map(|(at, payload)| outer(at, payload)).collect();
    assert_eq!(unpacked(&payloads), expected);
}

#[test]
fn an_aggregate_within_an_aggregate_stays_one() {
    let nested = aggregate(&[user("k", "one"), user("l", "two")]);
    let users = [UserRecord { data: nested, ..user("m", "") }, user("n", "three")];
    assert_eq!(unpacked(&[aggregate(&users)]), [inner(0, 0, &users[0]), inner(0, 1, &users[1])]);
}

#[test]
fn a_redriven_dead_letter_is_not_unpacked() {
    let aggregate = aggregate(&[user("k", "one"), user("l", "two")]);
    let mut batch = batch(&[&aggregate]);
    let letter = batch.dead_letter(0, Reason::new(Cause::NotUtf8, "it was none"));
    batch.records[0].redriven = Some(letter.into());
    unpack(&mut batch, None);
    assert_eq!(seen(&batch), [outer(0, &aggregate)]);
}

// Broken producers.

#[test]
fn a_user_record_whose_key_is_not_in_the_table_is_undecodable_and_the_others_are_not() {
    let aggregate = encoded(&["k", "l"], &[], &[(0, None, "a"), (2, None, "b"), (1, None, "c"), (u64::MAX, None, "d")]);
    let seen = unpacked(&[&aggregate[..], b"{}"]);
    let (b, d) = (&seen[1], &seen[3]);
    assert_eq!((b.0, b.1, &b.2, &b.3[..]), (0, 1, &None, &b"b"[..]));
    let why = b.4.as_deref().unwrap();
    assert!(why.contains("partition key 2") && why.contains("has 2"), "{why}");
    assert_eq!((d.0, d.1, &d.2, &d.3[..]), (0, 3, &None, &b"d"[..]));
    assert!(d.4.is_some());
    let rest = [&seen[0], &seen[2], &seen[4]].map(Clone::clone);
    assert_eq!(rest, [inner(0, 0, &user("k", "a")), inner(0, 2, &user("l", "c")), outer(1, b"{}")]);
    // At another delivery, with other neighbours, each has the same position.
    let again = unpacked(&[&b"before"[..], &aggregate]);
    let positions =
        |seen: &[Seen]| seen.iter().map(|seen| (seen.1, seen.3.clone(), seen.4.clone())).collect::<Vec<_>>();
    assert_eq!(positions(&again[1..]), positions(&seen[..4]));
}

#[test]
fn a_user_record_whose_key_is_not_utf_8_is_undecodable_and_the_others_are_not() {
    let records = [(0, "a"), (1, "b")].map(|(key, data)| Inner {
        partition_key: Some(key),
        data: Some(data.into()),
        ..Inner::default()
    });
    let keys = vec![b"\xff".to_vec(), b"k".to_vec()];
    let message = Aggregate { partition_keys: keys, hash_keys: vec![], records: records.into() };
    let seen = unpacked(&[framed(&message.encode_to_vec())]);
    assert_eq!((&seen[0].2, &seen[0].3[..]), (&None, &b"a"[..]));
    assert!(seen[0].4.as_deref().unwrap().contains("partition key 0"), "{seen:?}");
    assert_eq!(seen[1], inner(0, 1, &user("k", "b")));
}

// Hash ranges of shards.

#[test]
fn user_records_of_another_shard_are_left_out_and_the_others_keep_their_sub_sequence_numbers() {
    let users = ["k", "l", "m", "n", "o", "p"].map(|key| user(key, &format!("of {key}")));
    let aggregate = aggregate(&users);
    let mut hashes = users.clone().map(|user| hash_key(&user.key));
    hashes.sort_unstable();
    // Both ends belong to the shard.
    let range = (hashes[1], hashes[3]);
    let stays = |user: &UserRecord| (range.0..=range.1).contains(&hash_key(&user.key));
    let expected: Vec<_> =
        (0..).zip(&users).filter(|(_, user)| stays(user)).map(|(sub, user)| inner(0, sub, user)).collect();
    assert_eq!(expected.len(), 3);
    assert_eq!(ranged(&aggregate, range), (expected, 3));
    assert_eq!(ranged(&aggregate, (0, u128::MAX)).1, 0);
    assert_eq!(ranged(&aggregate, (hashes[5] + 1, u128::MAX)), (vec![], 6));
}

#[test]
fn an_explicit_hash_key_overrides_the_partition_key() {
    let at = |hash| UserRecord { hash: Some(hash), ..user("k", &hash.to_string()) };
    let users = [at(9), at(10), at(20), at(21), at(u128::MAX), at(0)];
    let left = vec![inner(0, 1, &users[1]), inner(0, 2, &users[2])];
    assert_eq!(ranged(&aggregate(&users), (10, 20)), (left, 4));
}

#[test]
fn an_unreadable_hash_key_matters_only_with_a_range() {
    let records = [(0, Some(0), "no number"), (0, Some(1), "too large"), (0, Some(3), "none"), (0, Some(2), "ten")];
    let aggregate = encoded(&["k"], &["ten", "340282366920938463463374607431768211456", "10"], &records);
    let all = (0..).zip(records).map(|(sub, (_, _, data))| inner(0, sub, &user("k", data))).collect::<Vec<_>>();
    assert_eq!(unpacked(&[&aggregate]), all);
    let (seen, misrouted) = ranged(&aggregate, (10, 10));
    assert_eq!((misrouted, seen.len()), (0, 4));
    for (record, number) in seen.iter().zip(["0", "1", "3"]) {
        let why = record.4.as_deref().unwrap();
        assert!(why.contains(&format!("explicit hash key {number}")), "{why}");
    }
    assert_eq!(seen[3], all[3]);
}

#[test]
fn a_user_record_without_a_readable_key_is_not_left_out_by_a_range() {
    let aggregate = encoded(&["k"], &["10"], &[(7, None, "lost key"), (7, Some(0), "lost key, but a hash")]);
    let (seen, misrouted) = ranged(&aggregate, (10, 10));
    assert_eq!((misrouted, seen.len()), (0, 2));
    assert!(seen.iter().all(|seen| seen.2.is_none() && seen.4.as_deref().unwrap().contains("partition key 7")));
    // By its explicit hash key, the second record belongs to another shard, whose host reports it.
    assert_eq!(ranged(&aggregate, (11, 11)).1, 1);
}
