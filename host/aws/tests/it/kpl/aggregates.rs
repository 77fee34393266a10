//! Aggregates for these tests: made by `prost` and by the aggregator, and seen as a batch.

use md5::{Digest, Md5};
use paceline_aws::kpl::{Aggregator, Packed, unpack};
use paceline_pipeline::model::{Batch, Record};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

/// The sequence number of a batch's first record; the others follow.
pub(super) const SEQUENCE: u64 = 700;
/// The arrival of the first record; the others follow a millisecond apart.
pub(super) const ARRIVAL_MS: i64 = 1_620_992_101_000;

/// The message of the format, with bytes instead of strings: UTF-8 is checked for each user record.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Aggregate {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(super) partition_keys: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub(super) hash_keys: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "3")]
    pub(super) records: Vec<Inner>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Inner {
    #[prost(uint64, optional, tag = "1")]
    pub(super) partition_key: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) hash_key: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub(super) data: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "4")]
    pub(super) tags: Vec<Tag>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Tag {
    #[prost(bytes = "vec", optional, tag = "1")]
    pub(super) key: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(super) value: Option<Vec<u8>>,
}

/// A user record before packing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct UserRecord {
    pub(super) key: String,
    pub(super) hash: Option<u128>,
    pub(super) data: Vec<u8>,
}

pub(super) fn user(key: &str, data: &str) -> UserRecord {
    UserRecord { key: key.to_owned(), hash: None, data: data.into() }
}

/// A record of a batch: the index of its stream record, its own index there, its key, its data, and why it can't be
/// decoded.
pub(super) type Seen = (u64, u64, Option<String>, Vec<u8>, Option<String>);

pub(super) fn outer(at: u64, payload: &[u8]) -> Seen {
    (at, 0, Some(format!("outer-{at}")), payload.to_vec(), None)
}

pub(super) fn inner(at: u64, sub: u64, user: &UserRecord) -> Seen {
    (at, sub, Some(user.key.clone()), user.data.clone(), None)
}

pub(super) fn batch<P: AsRef<[u8]>>(payloads: &[P]) -> Batch {
    let mut batch = Batch::new("alleycat/shardId-000000000006".into());
    for (at, payload) in (0..).zip(payloads) {
        batch.push(payload.as_ref(), (SEQUENCE + at).into());
        let key = batch.push_bytes(format!("outer-{at}").as_bytes());
        let record = batch.records.last_mut().unwrap();
        (record.partition_key, record.arrival_ms) = (Some(key), Some(ARRIVAL_MS + at as i64));
    }
    batch
}

pub(super) fn seen(batch: &Batch) -> Vec<Seen> {
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

pub(super) fn unpacked<P: AsRef<[u8]>>(payloads: &[P]) -> Vec<Seen> {
    let mut batch = batch(payloads);
    assert_eq!(unpack(&mut batch, None), 0);
    seen(&batch)
}

/// The records of an aggregate in a shard with this range, and how many are left out.
pub(super) fn ranged(payload: &[u8], range: (u128, u128)) -> (Vec<Seen>, usize) {
    let mut batch = batch(&[payload]);
    let misrouted = unpack(&mut batch, Some(range));
    (seen(&batch), misrouted)
}

/// An aggregate with this message.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    [&[0xf3, 0x89, 0x9a, 0xc2], message, &Md5::digest(message)[..]].concat()
}

pub(super) fn encoded(partition_keys: &[&str], hash_keys: &[&str], records: &[(u64, Option<u64>, &str)]) -> Vec<u8> {
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

pub(super) fn pack(users: &[UserRecord], max_bytes: usize) -> Vec<Packed> {
    let mut aggregator = Aggregator::new(max_bytes);
    let mut packed: Vec<_> = users.iter().filter_map(|user| aggregator.add(&user.key, user.hash, &user.data)).collect();
    packed.extend(aggregator.finish());
    assert!(aggregator.is_empty() && aggregator.finish().is_none());
    packed
}

/// One aggregate of all these.
pub(super) fn aggregate(users: &[UserRecord]) -> Vec<u8> {
    let packed = pack(users, usize::MAX);
    assert_eq!(packed.len(), 1);
    packed[0].data.clone()
}

pub(super) fn users(most: usize) -> impl Strategy<Value = Vec<UserRecord>> {
    // Few keys, so that they repeat; some are long or not ASCII.
    let key = prop_oneof!["[a-e]", "racer-[0-9]{1,3}", "\\PC{0,40}"];
    let hash = prop_oneof![Just(None), Just(Some(0)), Just(Some(u128::MAX)), any::<u128>().prop_map(Some)];
    let data = prop_oneof![8 => vec(any::<u8>(), 0..200), 1 => vec(any::<u8>(), 120..400), 1 => Just(Vec::new())];
    vec((key, hash, data).prop_map(|(key, hash, data)| UserRecord { key, hash, data }), 0..most)
}
