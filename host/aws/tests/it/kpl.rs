//! Aggregates of the Kinesis Producer Library: unpacked and packed, compared with a third party's and with `prost`.

use std::path::Path;

use md5::{Digest, Md5};
use paceline_aws::base64;
use paceline_aws::kpl::{Aggregator, Packed, hash_key, unpack};
use paceline_pipeline::model::{Batch, Cause, Checkpoint, Reason, Record};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use serde_json::Value;

/// The sequence number of a batch's first record; the others follow.
const SEQUENCE: u64 = 700;
/// The arrival of the first record; the others follow a millisecond apart.
const ARRIVAL_MS: i64 = 1_620_992_101_000;

/// The message of the format, with bytes instead of strings: UTF-8 is checked for each user record.
#[derive(Clone, PartialEq, Message)]
struct Aggregate {
    #[prost(bytes = "vec", repeated, tag = "1")]
    partition_keys: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    hash_keys: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "3")]
    records: Vec<Inner>,
}

#[derive(Clone, PartialEq, Message)]
struct Inner {
    #[prost(uint64, optional, tag = "1")]
    partition_key: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    hash_key: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "3")]
    data: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "4")]
    tags: Vec<Tag>,
}

#[derive(Clone, PartialEq, Message)]
struct Tag {
    #[prost(bytes = "vec", optional, tag = "1")]
    key: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    value: Option<Vec<u8>>,
}

/// A user record before packing.
#[derive(Clone, Debug, PartialEq)]
struct UserRecord {
    key: String,
    hash: Option<u128>,
    data: Vec<u8>,
}

fn user(key: &str, data: &str) -> UserRecord {
    UserRecord { key: key.to_owned(), hash: None, data: data.into() }
}

/// A record of a batch: the index of its stream record, its own index there, its key, its data, and why it can't be
/// decoded.
type Seen = (u64, u64, Option<String>, Vec<u8>, Option<String>);

fn outer(at: u64, payload: &[u8]) -> Seen {
    (at, 0, Some(format!("outer-{at}")), payload.to_vec(), None)
}

fn inner(at: u64, sub: u64, user: &UserRecord) -> Seen {
    (at, sub, Some(user.key.clone()), user.data.clone(), None)
}

fn batch<P: AsRef<[u8]>>(payloads: &[P]) -> Batch {
    let mut batch = Batch::new("alleycat/shardId-000000000006".into());
    for (at, payload) in (0..).zip(payloads) {
        batch.push(payload.as_ref(), (SEQUENCE + at).into());
        let key = batch.push_bytes(format!("outer-{at}").as_bytes());
        let record = batch.records.last_mut().unwrap();
        (record.partition_key, record.arrival_ms) = (Some(key), Some(ARRIVAL_MS + at as i64));
    }
    batch
}

fn seen(batch: &Batch) -> Vec<Seen> {
    assert!(batch.undecodable.is_sorted_by(|(a, _), (b, _)| a < b), "{:?}", batch.undecodable);
    let see = |(at, record): (usize, &Record)| {
        let number = record.position.sequence.to_u64().unwrap() - SEQUENCE;
        assert_eq!(record.arrival_ms, Some(ARRIVAL_MS + number as i64));
        let key = record.partition_key.map(|key| String::from_utf8(batch.slice(key).to_vec()).unwrap());
        let why = batch.undecodable.iter().find(|(record, _)| *record as usize == at).map(|(_, why)| why.clone());
        (number, record.position.sub_sequence, key, batch.payload(at).to_vec(), why)
    };
    batch.records.iter().enumerate().map(see).collect()
}

fn unpacked<P: AsRef<[u8]>>(payloads: &[P]) -> Vec<Seen> {
    let mut batch = batch(payloads);
    assert_eq!(unpack(&mut batch, None), 0);
    seen(&batch)
}

/// The records of an aggregate in a shard with this range, and how many are left out.
fn ranged(payload: &[u8], range: (u128, u128)) -> (Vec<Seen>, usize) {
    let mut batch = batch(&[payload]);
    let misrouted = unpack(&mut batch, Some(range));
    (seen(&batch), misrouted)
}

/// An aggregate with this message.
fn framed(message: &[u8]) -> Vec<u8> {
    [&[0xf3, 0x89, 0x9a, 0xc2], message, &Md5::digest(message)[..]].concat()
}

fn encoded(partition_keys: &[&str], hash_keys: &[&str], records: &[(u64, Option<u64>, &str)]) -> Vec<u8> {
    let bytes = |keys: &[&str]| keys.iter().map(|key| key.as_bytes().to_vec()).collect();
    let records = records.iter().map(|&(partition_key, hash_key, data)| Inner {
        partition_key: Some(partition_key),
        hash_key,
        data: Some(data.into()),
        tags: Vec::new(),
    });
    let message =
        Aggregate { partition_keys: bytes(partition_keys), hash_keys: bytes(hash_keys), records: records.collect() };
    framed(&message.encode_to_vec())
}

fn pack(users: &[UserRecord], max_bytes: usize) -> Vec<Packed> {
    let mut aggregator = Aggregator::new(max_bytes);
    let mut packed: Vec<_> = users.iter().filter_map(|user| aggregator.add(&user.key, user.hash, &user.data)).collect();
    packed.extend(aggregator.finish());
    assert!(aggregator.is_empty() && aggregator.finish().is_none());
    packed
}

/// One aggregate of all these.
fn aggregate(users: &[UserRecord]) -> Vec<u8> {
    let packed = pack(users, usize::MAX);
    assert_eq!(packed.len(), 1);
    packed[0].data.clone()
}

fn users(most: usize) -> impl Strategy<Value = Vec<UserRecord>> {
    // Few keys, so that they repeat; some are long or not ASCII.
    let key = prop_oneof!["[a-e]", "racer-[0-9]{1,3}", "\\PC{0,40}"];
    let hash = prop_oneof![Just(None), Just(Some(0)), Just(Some(u128::MAX)), any::<u128>().prop_map(Some)];
    let data = prop_oneof![8 => vec(any::<u8>(), 0..200), 1 => vec(any::<u8>(), 120..400), 1 => Just(Vec::new())];
    vec((key, hash, data).prop_map(|(key, hash, data)| UserRecord { key, hash, data }), 0..most)
}

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

// Packing.

#[test]
fn a_single_user_record_is_sent_as_it_is() {
    let expected = Packed { partition_key: "k".into(), explicit_hash_key: None, data: b"alone".to_vec() };
    assert_eq!(pack(&[user("k", "alone")], 51_200), std::slice::from_ref(&expected));
    let hashed = UserRecord { hash: Some(7), ..user("k", "alone") };
    assert_eq!(pack(&[hashed], 51_200), [Packed { explicit_hash_key: Some(7), ..expected }]);
    assert!(pack(&[], 51_200).is_empty());
}

#[test]
fn an_aggregate_has_the_hash_key_of_its_first_user_record() {
    let packed = pack(&[user("k", "one"), UserRecord { hash: Some(7), ..user("l", "two") }], 51_200);
    assert_eq!((&*packed[0].partition_key, packed[0].explicit_hash_key), ("a", Some(hash_key("k"))));
    let packed = pack(&[UserRecord { hash: Some(7), ..user("l", "two") }, user("k", "one")], 51_200);
    assert_eq!((&*packed[0].partition_key, packed[0].explicit_hash_key), ("a", Some(7)));
}

#[test]
fn a_single_user_record_that_is_itself_an_aggregate_is_packed() {
    let users = [UserRecord { data: aggregate(&[user("k", "one"), user("l", "two")]), ..user("m", "") }];
    assert_eq!(unpacked(&[aggregate(&users)]), [inner(0, 0, &users[0])]);
}

#[test]
fn an_aggregate_is_filled_exactly_to_its_limit() {
    let users = [user("k", "one"), user("l", "two")];
    let bytes = aggregate(&users).len();
    assert_eq!(pack(&users, bytes).len(), 1);
    assert_eq!(pack(&users, bytes - 1).len(), 2);
    let mut aggregator = Aggregator::default();
    users.iter().for_each(|user| assert_eq!(aggregator.add(&user.key, user.hash, &user.data), None));
    assert_eq!((aggregator.len(), aggregator.bytes()), (2, bytes));
}

// Arbitrary input.

/// The expected records of an aggregate with this message, by `prost`.
fn model(message: &[u8]) -> Vec<Seen> {
    let whole = || vec![outer(0, &framed(message))];
    if message.is_empty() {
        return whole();
    }
    let Ok(aggregate) = Aggregate::decode(message) else { return whole() };
    let mut seen = Vec::new();
    for (sub, record) in (0..).zip(aggregate.records) {
        let (Some(number), Some(data)) = (record.partition_key, record.data) else { return whole() };
        if record.tags.iter().any(|tag| tag.key.is_none()) {
            return whole();
        }
        let key = usize::try_from(number).ok().and_then(|number| aggregate.partition_keys.get(number));
        let key = key.and_then(|key| String::from_utf8(key.clone()).ok());
        let why = key.is_none().then(String::new);
        seen.push((0, sub, key, data, why));
    }
    seen
}

/// Unpacks an aggregate with this message. The text of a reason is not compared.
fn by_us(message: &[u8]) -> Vec<Seen> {
    let mut seen = unpacked(&[framed(message)]);
    seen.iter_mut().for_each(|seen| seen.4 = seen.4.take().map(|_| String::new()));
    seen
}

/// Messages of the format with tags, and with indexes that mostly are in the tables.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let bytes = |most| vec(any::<u8>(), 0..most);
    let tag = (proptest::option::weighted(0.9, bytes(4)), proptest::option::of(bytes(4)));
    let tags = vec(tag.prop_map(|(key, value)| Tag { key, value }), 0..2);
    let number = prop_oneof![20 => 0..3_u64, 1 => any::<u64>()];
    let record = (
        proptest::option::weighted(0.97, number.clone()),
        proptest::option::weighted(0.2, number),
        proptest::option::weighted(0.97, bytes(200)),
        tags,
    );
    let record = record.prop_map(|(partition_key, hash_key, data, tags)| Inner { partition_key, hash_key, data, tags });
    let key = prop_oneof![10 => "[a-z]{0,5}".prop_map(String::into_bytes), 1 => bytes(4)];
    (vec(key.clone(), 0..4), vec(key, 0..3), vec(record, 0..6)).prop_map(|(partition_keys, hash_keys, records)| {
        Aggregate { partition_keys, hash_keys, records }.encode_to_vec()
    })
}

/// Bytes that are frequent in messages: keys of fields, short numbers, and arbitrary ones.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let field = (0..6_u8, 0..8_u8).prop_map(|(number, wire_type)| number << 3 | wire_type);
    vec(prop_oneof![field, 0..12_u8, any::<u8>(), Just(0xff), Just(0x80)], 0..16)
}

proptest! {
    #[test]
    fn packed_user_records_are_unpacked_unchanged(users in users(60), max_bytes in 0..3_000_usize) {
        let packed = pack(&users, max_bytes);
        let payloads: Vec<_> = packed.iter().map(|packed| &packed.data).collect();
        let seen = unpacked(&payloads);
        prop_assert_eq!(seen.len(), users.len());
        let mut position = (0, 0);
        for (seen, user) in seen.into_iter().zip(&users) {
            let at = (seen.0, seen.1);
            prop_assert!(at == position || at == (position.0 + 1, 0), "{at:?} comes after {position:?}");
            position = (at.0, at.1 + 1);
            let packed = &packed[at.0 as usize];
            let alone = packed.data == user.data;
            let key = if alone { format!("outer-{}", at.0) } else { user.key.clone() };
            prop_assert_eq!(seen, (at.0, at.1, Some(key), user.data.clone(), None));
            if alone {
                prop_assert_eq!((&packed.partition_key, packed.explicit_hash_key), (&user.key, user.hash));
            } else {
                prop_assert!(packed.data.len() <= max_bytes, "{} > {max_bytes}", packed.data.len());
            }
            if at.1 == 0 && !alone {
                let hash = user.hash.unwrap_or_else(|| hash_key(&user.key));
                prop_assert_eq!((&*packed.partition_key, packed.explicit_hash_key), ("a", Some(hash)));
            }
        }
    }

    #[test]
    fn bytes_without_a_valid_frame_are_an_ordinary_record(
        bytes in vec(any::<u8>(), 0..300),
        magic in any::<bool>(),
    ) {
        let bytes = if magic { [&[0xf3, 0x89, 0x9a, 0xc2], &bytes[..]].concat() } else { bytes };
        prop_assert_eq!(unpacked(&[&bytes]), [outer(0, &bytes)]);
    }

    #[test]
    fn an_aggregate_with_a_bit_flipped_is_an_ordinary_record(users in users(20), bit in any::<prop::sample::Index>()) {
        prop_assume!(users.len() > 1);
        let mut damaged = aggregate(&users);
        let bit = bit.index(damaged.len() * 8);
        damaged[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(unpacked(&[&damaged]), [outer(0, &damaged)]);
    }

    #[test]
    fn messages_are_read_as_prost_reads_them(message in messages()) {
        prop_assert_eq!(by_us(&message), model(&message));
    }

    #[test]
    fn damaged_messages_are_read_as_prost_reads_them(
        message in messages(),
        at in any::<prop::sample::Index>(),
        out in 0..4_usize,
        put in fragments(),
    ) {
        let at = at.index(message.len() + 1);
        let mut message = message;
        message.splice(at..message.len().min(at + out), put);
        prop_assert_eq!(by_us(&message), model(&message));
    }

    #[test]
    fn any_message_is_read_as_prost_reads_it(message in fragments()) {
        prop_assert_eq!(by_us(&message), model(&message));
    }
}

#[test]
fn nested_groups_are_skipped_up_to_a_depth() {
    let nested = |depth: usize| {
        let record = Inner { partition_key: Some(0), data: Some(b"x".to_vec()), ..Inner::default() };
        let message = Aggregate { partition_keys: vec![b"k".to_vec()], hash_keys: vec![], records: vec![record] };
        let groups = std::iter::repeat_n(9 << 3 | 3, depth).chain(std::iter::repeat_n(9 << 3 | 4, depth));
        message.encode_to_vec().into_iter().chain(groups).collect::<Vec<u8>>()
    };
    for depth in [0, 1, 50] {
        assert_eq!(by_us(&nested(depth)), [inner(0, 0, &user("k", "x"))]);
        assert_eq!(model(&nested(depth)), [inner(0, 0, &user("k", "x"))]);
    }
    let deep = nested(100_000);
    assert_eq!(by_us(&deep), [outer(0, &framed(&deep))]);
}

#[test]
fn every_flipped_bit_of_an_aggregate_is_noticed() {
    let whole = aggregate(&[user("k", "one"), user("l", "two"), user("k", "")]);
    assert_eq!(unpacked(&[&whole]).len(), 3);
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(unpacked(&[&damaged]), [outer(0, &damaged)], "bit {bit}");
    }
}
