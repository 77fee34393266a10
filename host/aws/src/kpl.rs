//! Aggregates of the Kinesis Producer Library (KPL): many user records in one record of the stream.
//!
//! An aggregate is four magic bytes, a protobuf message, and the message's MD5. Amazon's consumer library (the KCL)
//! takes aggregates apart before anybody sees them; Lambda does not.
//!
//! # Layout
//!
//! - `wire`: the protobuf message, read in place.
//! - `pack`: the other way round, from user records to records for the stream.

mod pack;
mod wire;

use md5::{Digest, Md5};
use paceline_pipeline::model::RecordPosition;
use paceline_pipeline::model::{Batch, Record, Span};

pub use pack::{AGGREGATE_BYTES, Aggregator, Packed};
use wire::{Aggregate, UserRecord};

/// What an aggregate begins with.
const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];

/// The length of the MD5 that it ends with.
const DIGEST: usize = 16;

/// Puts the user records of a batch's aggregates in the aggregates' place, in order. Returns how many were left out
/// because they belong to another shard. To be called once on what came from the stream: a user record that is itself
/// an aggregate stays one, as with Amazon's library.
///
/// A user record has the aggregate's sequence number and arrival time, its own partition key, and as its sub-sequence
/// its number in the aggregate: the same at every delivery, whatever is left out, so that fences and the names of dead
/// letters hold. Payloads stay where they are in the batch's bytes.
///
/// What begins like an aggregate but is none (the MD5 or the protobuf message is wrong) stays an ordinary record. An
/// aggregate without user records vanishes; the batch's end is past it all the same.
///
/// A user record whose number of a partition key is not in the aggregate's table is undecodable, alone: its data is
/// there, so it becomes a dead letter under its own place that can be driven through again, and those before and after
/// it go on. Amazon's library drops it and all after it. As a dead letter the aggregate as a whole would stop records
/// that have no fault, and a redrive, which does not unpack, would find no message in it.
///
/// With a `range`, the first and the last hash that the shard takes, user records whose hash lies outside are left out:
/// while shards split and merge, an aggregate may land in a shard that some of its user records don't belong to, and
/// the KPL sends just these again. Amazon's guide says so too, though its code drops all of such an aggregate, the
/// records that nobody sends again among them. Lambda does not filter, and should be given no range: then explicit hash
/// keys, which nothing else needs, are not looked at.
pub fn unpack(batch: &mut Batch, range: Option<(u128, u128)>) -> usize {
    unpack_from(batch, 0, range)
}

/// [`unpack`] for the records from this index on: those before it are left as they are.
pub fn unpack_from(batch: &mut Batch, from: usize, range: Option<(u128, u128)>) -> usize {
    if !batch.records[from..].iter().any(|record| batch.slice(record.payload).starts_with(&MAGIC)) {
        return 0;
    }
    let Batch { bytes, records, undecodable, .. } = batch;
    let before = undecodable.partition_point(|(record, _)| (*record as usize) < from);
    let mut known = undecodable.split_off(before).into_iter().peekable();
    let mut elsewhere = 0;
    for (at, record) in (from..).zip(records.split_off(from)) {
        if let Some((_, why)) = known.next_if(|(undecodable, _)| *undecodable as usize == at) {
            undecodable.push((records.len() as u32, why));
            records.push(record);
            continue;
        }
        let Some(aggregate) = aggregate(bytes, &record) else {
            records.push(record);
            continue;
        };
        records.reserve(aggregate.records.len());
        for (sub_sequence, user_record) in (0..).zip(&aggregate.records) {
            let partition_key = partition_key(bytes, &aggregate, user_record);
            let mut wrong = partition_key.as_ref().err().cloned();
            if let Some((first, last)) = range {
                match hash(bytes, &aggregate, user_record, &partition_key) {
                    Ok(hash) if !(first..=last).contains(&hash) => {
                        elsewhere += 1;
                        continue;
                    }
                    Ok(_) => {}
                    Err(why) => wrong = Some(why),
                }
            }
            undecodable.extend(wrong.map(|why| (records.len() as u32, why)));
            records.push(Record {
                payload: user_record.data,
                position: RecordPosition { sub_sequence, ..record.position },
                partition_key: partition_key.ok(),
                ..record.clone()
            });
        }
    }
    elsewhere
}

/// The hash by which Kinesis gives a partition key to a shard.
pub fn hash_key(partition_key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(partition_key).into())
}

/// What a record aggregates, if it is an aggregate.
fn aggregate(bytes: &[u8], record: &Record) -> Option<Aggregate> {
    // A dead letter is driven through again as the record that it was buried as.
    if record.redriven.is_some() {
        return None;
    }
    let message = message(&bytes[record.payload.start as usize..record.payload.end as usize])?;
    let start = record.payload.start + MAGIC.len() as u32;
    wire::read(bytes, Span { start, end: start + message.len() as u32 }).ok()
}

/// The protobuf message in what has an aggregate's beginning and end.
fn message(payload: &[u8]) -> Option<&[u8]> {
    let (message, digest) = payload.strip_prefix(&MAGIC)?.split_last_chunk::<DIGEST>()?;
    (!message.is_empty() && Md5::digest(message)[..] == digest[..]).then_some(message)
}

/// Where a user record's partition key stands, or why it has none.
fn partition_key(bytes: &[u8], aggregate: &Aggregate, record: &UserRecord) -> Result<Span, String> {
    let span = find(&aggregate.partition_keys, record.partition_key, "partition key")?;
    match text(bytes, span) {
        Some(_) => Ok(span),
        None => Err(format!("partition key {} of the aggregate that it came in is not UTF-8", record.partition_key)),
    }
}

/// The hash that decides a user record's shard.
fn hash(
    bytes: &[u8],
    aggregate: &Aggregate,
    record: &UserRecord,
    partition_key: &Result<Span, String>,
) -> Result<u128, String> {
    let Some(number) = record.hash_key else {
        let key = partition_key.as_ref().map_err(Clone::clone)?;
        return Ok(hash_key(text(bytes, *key).expect("it was looked at before")));
    };
    let span = find(&aggregate.hash_keys, number, "explicit hash key")?;
    text(bytes, span).and_then(|text| text.parse().ok()).ok_or_else(|| {
        format!("explicit hash key {number} of the aggregate that it came in is not a decimal of at most 128 bits")
    })
}

/// A key by its number in the table.
fn find(table: &[Span], number: u64, what: &str) -> Result<Span, String> {
    usize::try_from(number).ok().and_then(|number| table.get(number)).copied().ok_or_else(|| {
        format!(
            "it names {what} {number}, counted from 0, of the aggregate that it came in, which has {}: what aggregates \
             at the producer's end is broken",
            table.len()
        )
    })
}

fn text(bytes: &[u8], span: Span) -> Option<&str> {
    std::str::from_utf8(&bytes[span.start as usize..span.end as usize]).ok()
}
