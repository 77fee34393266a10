//! From stream records to user records.

use paceline_pipeline::model::{Batch, Record, RecordPosition, Span};

use super::digests::md5_of_each;
use super::frame::{MAGIC, parts};
use super::wire::{self, Aggregate, UserRecord};

/// A user record has no readable partition key, or no readable explicit hash key where that decides its shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum BadKey {
    #[error(
        "it refers to {what} {index} of its aggregate, counted from 0, which has {len}: the producer's aggregation is \
         broken"
    )]
    NotInTable { what: &'static str, index: u64, len: usize },
    #[error("partition key {index} of its aggregate is not UTF-8")]
    NotUtf8 { index: u64 },
    #[error("explicit hash key {index} of its aggregate is not a decimal of at most 128 bits")]
    NotAHashKey { index: u64 },
}

/// Replaces a batch's aggregates by their user records, in order. Returns how many user records were left out because
/// they belong to other shards. To be called once per batch: a user record that is itself an aggregate stays one, as in
/// Amazon's library.
///
/// A user record has the aggregate's sequence number and arrival time, its own partition key, and its index in the
/// aggregate as sub-sequence number. These are the same at every delivery, whatever is left out, so dedup state and the
/// ids of dead letters hold. Payloads stay where they are in the batch's bytes.
///
/// A record that begins like an aggregate but is none (the MD5 or the protobuf message is wrong) stays an ordinary
/// record. An aggregate without user records disappears; the batch's checkpoint is past it nevertheless.
///
/// A user record whose partition key is not in the aggregate's table is undecodable by itself: its data is there, so it
/// becomes a dead letter under its own position, which can be redriven, and its neighbours are processed. Amazon's
/// library drops it and all records after it. As a dead letter, the aggregate as a whole would stop records that have
/// no fault, and a redrive, which does not unpack, would find no message in it.
///
/// With a `range`, the first and the last hash key of the shard, user records with other hash keys are left out: while
/// shards split and merge, an aggregate may land in a shard to which some of its user records do not belong, and the
/// KPL sends exactly these again. Other libraries, such as Amazon's for Python and Node, put keys of several shards into
/// an aggregate at any time and send none again: see [`unpack_from`]. Amazon's guide describes the same, though its code
/// drops the whole aggregate, including records that nobody sends again. Lambda does not filter and should pass no range;
/// then explicit hash keys are not read.
pub fn unpack(batch: &mut Batch, range: Option<(u128, u128)>) -> usize {
    unpack_from(batch, 0, range, OfOtherShards::LeaveOut)
}

/// What becomes of user records with hash keys of other shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfOtherShards {
    /// They stay, as `misrouted` records of the batch.
    Mark,
    /// They are left out.
    LeaveOut,
}

/// [`unpack`] for the records from this index on. Earlier records stay as they are. Returns how many user records belong
/// to other shards.
pub fn unpack_from(
    batch: &mut Batch,
    from: usize,
    range: Option<(u128, u128)>,
    of_other_shards: OfOtherShards,
) -> usize {
    if !batch.records[from..].iter().any(|record| batch.slice(record.payload).starts_with(&MAGIC)) {
        return 0;
    }
    let mut messages = messages(batch, from).into_iter().peekable();
    let Batch { bytes, records, undecodable, misrouted: marked, .. } = batch;
    let before = undecodable.partition_point(|(record, _)| (*record as usize) < from);
    let mut known = undecodable.split_off(before).into_iter().peekable();
    let mut misrouted = 0;
    for (at, record) in (from..).zip(records.split_off(from)) {
        if let Some((_, why)) = known.next_if(|(undecodable, _)| *undecodable as usize == at) {
            undecodable.push((records.len() as u32, why));
            records.push(record);
            continue;
        }
        let message = messages.next_if(|(aggregate, _)| *aggregate == at);
        let Some(aggregate) = message.and_then(|(_, message)| wire::read(bytes, message).ok()) else {
            records.push(record);
            continue;
        };
        records.reserve(aggregate.records.len());
        let hash_keys = if range.is_some() { partition_hash_keys(bytes, &aggregate) } else { Vec::new() };
        for (sub_sequence, user_record) in (0..).zip(&aggregate.records) {
            let partition_key = partition_key(bytes, &aggregate, user_record);
            let mut bad_key = partition_key.as_ref().err().cloned();
            if let Some((first, last)) = range {
                match user_hash_key(bytes, (&aggregate, &hash_keys), user_record, &partition_key) {
                    Ok(hash) if !(first..=last).contains(&hash) => {
                        misrouted += 1;
                        match of_other_shards {
                            OfOtherShards::Mark => marked.push(records.len() as u32),
                            OfOtherShards::LeaveOut => continue,
                        }
                    }
                    Ok(_) => {}
                    Err(error) => bad_key = Some(error),
                }
            }
            undecodable.extend(bad_key.map(|error| (records.len() as u32, error.to_string())));
            records.push(Record {
                payload: user_record.data,
                position: RecordPosition { sub_sequence, ..record.position },
                partition_key: partition_key.ok(),
                ..record.clone()
            });
        }
    }
    misrouted
}

/// The messages of the records from this index on that have an aggregate's frame, each with its record's index.
fn messages(batch: &Batch, from: usize) -> Vec<(usize, Span)> {
    let is_undecodable =
        |at: usize| batch.undecodable.binary_search_by_key(&(at as u32), |(record, _)| *record).is_ok();
    let (mut spans, mut messages, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    for (at, record) in batch.records.iter().enumerate().skip(from) {
        // A dead letter is redriven as the record that it was stored as.
        if record.redriven.is_none()
            && let Some((message, digest)) = parts(batch.slice(record.payload))
            && !is_undecodable(at)
        {
            let start = record.payload.start + MAGIC.len() as u32;
            spans.push((at, Span { start, end: start + message.len() as u32 }));
            messages.push(message);
            expected.push(digest);
        }
    }
    let mut is_whole = expected.into_iter().zip(md5_of_each(&messages)).map(|(expected, found)| *expected == found);
    spans.retain(|_| is_whole.next().expect("one for each message"));
    spans
}

fn partition_key(bytes: &[u8], aggregate: &Aggregate, record: &UserRecord) -> Result<Span, BadKey> {
    let index = record.partition_key;
    let span = find(&aggregate.partition_keys, index, "partition key")?;
    text(bytes, span).map(|_| span).ok_or(BadKey::NotUtf8 { index })
}

/// The hash keys of an aggregate's partition keys, if they decide a user record's shard.
fn partition_hash_keys(bytes: &[u8], aggregate: &Aggregate) -> Vec<u128> {
    if aggregate.records.iter().all(|record| record.hash_key.is_some()) {
        return Vec::new();
    }
    let keys = aggregate.partition_keys.iter().map(|key| &bytes[key.start as usize..key.end as usize]);
    md5_of_each(&keys.collect::<Vec<_>>()).into_iter().map(u128::from_be_bytes).collect()
}

/// The hash key that decides a user record's shard.
fn user_hash_key(
    bytes: &[u8],
    (aggregate, partition_hash_keys): (&Aggregate, &[u128]),
    record: &UserRecord,
    partition_key: &Result<Span, BadKey>,
) -> Result<u128, BadKey> {
    let Some(index) = record.hash_key else {
        partition_key.as_ref().map_err(Clone::clone)?;
        return Ok(partition_hash_keys[record.partition_key as usize]);
    };
    let span = find(&aggregate.hash_keys, index, "explicit hash key")?;
    text(bytes, span).and_then(|text| text.parse().ok()).ok_or(BadKey::NotAHashKey { index })
}

/// A key by its index in the table.
fn find(table: &[Span], index: u64, what: &'static str) -> Result<Span, BadKey> {
    let found = usize::try_from(index).ok().and_then(|index| table.get(index)).copied();
    found.ok_or(BadKey::NotInTable { what, index, len: table.len() })
}

fn text(bytes: &[u8], span: Span) -> Option<&str> {
    std::str::from_utf8(&bytes[span.start as usize..span.end as usize]).ok()
}
