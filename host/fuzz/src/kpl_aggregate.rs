//! KPL aggregates: what they contain is what prost reads, and what is packed is unpacked unchanged.

use paceline_aws::kpl::{Aggregator, OfOtherShards, Packed, hash_key, unpack, unpack_from};
use paceline_pipeline::model::{Batch, RecordPosition};

use crate::aggregate_model::{UserRecord, framed, md5, message, user_records};
use crate::laws::text_is_short;

/// The arrival of the stream record in question, in milliseconds since 1970.
const ARRIVAL_MS: i64 = 1_620_992_101_000;

/// A record of a batch: its position, its key, its payload, whether it can't be decoded, whether it is of another shard.
type Seen = (RecordPosition, Option<String>, Vec<u8>, bool, bool);

/// Checks the bytes as a payload, as the message of an aggregate, and as user records to pack.
pub fn check(data: &[u8]) {
    payload_is_read_as_by_prost(data);
    if message(data).is_none() {
        payload_is_read_as_by_prost(&framed(data));
    }
    packed_records_are_unpacked(data);
}

/// A stream record between two that can't be decoded.
fn batch(payload: &[u8]) -> Batch {
    let mut batch = Batch::new("stream/shard".into());
    for (sequence, payload) in [(1, &b"before"[..]), (2, payload), (3, b"after")] {
        batch.push(payload, sequence.into());
        let key = batch.push_bytes(b"outer");
        let record = batch.records.last_mut().expect("it was pushed");
        (record.partition_key, record.arrival_ms) = (Some(key), Some(ARRIVAL_MS));
    }
    batch.undecodable = vec![(0, "before".to_owned()), (2, "after".to_owned())];
    batch
}

fn position(sequence: u64, sub_sequence: u64) -> RecordPosition {
    RecordPosition { sequence: sequence.into(), sub_sequence }
}

/// The records of an unpacked batch but for the first and the last.
fn seen(batch: &Batch) -> Vec<Seen> {
    let last = batch.records.len() - 1;
    assert!(batch.undecodable.is_sorted_by(|(a, _), (b, _)| a < b), "{:?}", batch.undecodable);
    assert!(batch.misrouted.is_sorted_by(|a, b| a < b), "{:?}", batch.misrouted);
    assert_eq!(batch.undecodable.first(), Some(&(0, "before".to_owned())));
    assert_eq!(batch.undecodable.last(), Some(&(last as u32, "after".to_owned())));
    batch.undecodable.iter().for_each(|(_, why)| text_is_short(why));
    let see = |at: usize| {
        let record = &batch.records[at];
        assert_eq!((record.arrival_ms, record.cut_from), (Some(ARRIVAL_MS), None));
        let key = record.partition_key.map(|key| {
            let key = String::from_utf8(batch.slice(key).to_vec());
            key.expect("a partition key is UTF-8")
        });
        let undecodable = batch.undecodable.iter().any(|(record, _)| *record as usize == at);
        let misrouted = batch.misrouted.contains(&(at as u32));
        (record.position, key, batch.payload(at).to_vec(), undecodable, misrouted)
    };
    let around = |at: usize| (see(at).0, see(at).1, see(at).2);
    let outer = Some("outer".to_owned());
    assert_eq!(around(0), (position(1, 0), outer.clone(), b"before".to_vec()));
    assert_eq!(around(last), (position(3, 0), outer, b"after".to_vec()));
    (1..last).map(see).collect()
}

fn payload_is_read_as_by_prost(payload: &[u8]) {
    let users = user_records(payload);
    let ordinary = || vec![(position(2, 0), Some("outer".to_owned()), payload.to_vec(), false, false)];

    let expected = users.as_ref().map_or_else(ordinary, |users| {
        let numbered = (0..).zip(users);
        numbered.map(|(sub, user)| record(sub, user, user.key.is_none(), false)).collect()
    });
    let mut unpacked = batch(payload);
    assert_eq!(unpack(&mut unpacked, None), 0);
    assert_eq!(seen(&unpacked), expected);

    // A shard that takes a part of the hash keys, which depends on the payload alone.
    let [a, b, ..] = md5(payload).map(u128::from);
    let (first, last) = (a.min(b) << 120, a.max(b) << 120 | u128::MAX >> 8);
    let is_here = |hash: u128| (first..=last).contains(&hash);
    let marked: Vec<Seen> = users.as_ref().map_or_else(ordinary, |users| {
        let numbered = (0..).zip(users);
        let see = |(sub, user): (u64, &UserRecord)| {
            let unreadable = user.key.is_none() || user.hash.is_none();
            record(sub, user, unreadable, user.hash.is_some_and(|hash| !is_here(hash)))
        };
        numbered.map(see).collect()
    });
    let misrouted = marked.iter().filter(|seen| seen.4).count();
    let mut unpacked = batch(payload);
    assert_eq!(unpack_from(&mut unpacked, 0, Some((first, last)), OfOtherShards::Mark), misrouted);
    assert_eq!(seen(&unpacked), marked);

    let left: Vec<Seen> = marked.into_iter().filter(|seen| !seen.4).collect();
    let mut unpacked = batch(payload);
    assert_eq!(unpack(&mut unpacked, Some((first, last))), misrouted);
    assert_eq!(seen(&unpacked), left);

    // The records before an index stay.
    let mut untouched = batch(payload);
    assert_eq!(unpack_from(&mut untouched, 2, None, OfOtherShards::Mark), 0);
    assert_eq!(seen(&untouched), ordinary());
}

fn record(sub_sequence: u64, user: &UserRecord, undecodable: bool, misrouted: bool) -> Seen {
    (position(2, sub_sequence), user.key.clone(), user.data.clone(), undecodable, misrouted)
}

/// User records from bytes: for each, the lengths of its key and of its data, then both. The first two bytes give the size
/// of aggregates.
fn users_of(data: &[u8]) -> (usize, Vec<UserRecord>) {
    let Some((size, mut rest)) = data.split_first_chunk::<2>() else { return (0, Vec::new()) };
    let mut users = Vec::new();
    while let Some((&[key, data], after)) = rest.split_first_chunk::<2>() {
        let (key_text, after) = after.split_at(usize::from(key & 0x0f).min(after.len()));
        let (data, after) = after.split_at(usize::from(data).min(after.len()));
        let key_text = String::from_utf8_lossy(key_text).into_owned();
        // A quarter of them has an explicit hash key.
        let hash = (key >> 6 == 0).then(|| u128::from_be_bytes(md5(data)));
        users.push(UserRecord { key: Some(key_text), hash, data: data.to_vec() });
        rest = after;
    }
    (usize::from(u16::from_le_bytes(*size)), users)
}

fn packed_records_are_unpacked(data: &[u8]) {
    let (max_bytes, users) = users_of(data);
    let mut aggregator = Aggregator::new(max_bytes);
    let mut packed: Vec<Packed> = Vec::new();
    for user in &users {
        packed.extend(aggregator.add(user.key.as_deref().expect("it has one"), user.hash, &user.data));
        assert!(!aggregator.is_empty());
    }
    packed.extend(aggregator.finish());
    assert!(aggregator.is_empty());

    let mut users = users.into_iter();
    for Packed { partition_key, explicit_hash_key, data } in packed {
        let Some(found) = user_records(&data) else {
            let user = users.next().expect("a record for each");
            assert_eq!((Some(partition_key), explicit_hash_key, data), (user.key, user.hash, user.data));
            continue;
        };
        assert!(found.len() == 1 || data.len() <= max_bytes, "{} > {max_bytes}", data.len());
        assert_eq!((partition_key.as_str(), explicit_hash_key), ("a", found[0].hash), "the shard of the first one");
        for found in found {
            let user = users.next().expect("a record for each");
            let hash = user.hash.or(user.key.as_deref().map(hash_key));
            assert_eq!(found, UserRecord { hash, ..user });
        }
    }
    assert_eq!(users.next(), None, "every record is sent");
}
