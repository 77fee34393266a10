//! From user records to records for the stream.

use std::collections::HashMap;

use md5::{Digest, Md5};

use super::{DIGEST, MAGIC, hash_key, message};

/// Bytes of an aggregate, by default: what the KPL makes of its `AggregationMaxSize`.
pub const AGGREGATE_BYTES: usize = 51_200;

/// The partition key of an aggregate of several user records. Its explicit hash key decides its shard.
const PARTITION_KEY: &str = "a";

/// A record for the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Its partition key.
    pub partition_key: String,
    /// Its explicit hash key, which Kinesis takes as a decimal.
    pub explicit_hash_key: Option<u128>,
    /// Its data.
    pub data: Vec<u8>,
}

/// Packs user records into aggregates as the KPL does. A single one is sent as it is.
///
/// An aggregate goes to one shard, that of its first user record: have one aggregator for each shard, and give it the
/// user records that belong there ([`hash_key`] tells). A consumer that filters by hash drops the others.
#[derive(Debug)]
pub struct Aggregator {
    max_bytes: usize,
    partition_keys: Table<1>,
    hash_keys: Table<2>,
    records: Vec<u8>,
    first: Option<First>,
    count: usize,
}

/// What is kept of the first user record.
#[derive(Debug)]
struct First {
    partition_key: String,
    explicit_hash_key: Option<u128>,
    data_bytes: usize,
}

impl Default for Aggregator {
    fn default() -> Self {
        Self::new(AGGREGATE_BYTES)
    }
}

impl Aggregator {
    /// An aggregator whose aggregates have this many bytes at most. A user record that is longer by itself is sent as it
    /// is: what Kinesis takes at most is for the caller to see to.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            partition_keys: Table::default(),
            hash_keys: Table::default(),
            records: Vec::new(),
            first: None,
            count: 0,
        }
    }

    /// Adds a user record. Where it does not fit in any more, this gives what was packed before, and the record begins
    /// the next one.
    #[must_use = "what is full has to be sent"]
    pub fn add(&mut self, partition_key: &str, explicit_hash_key: Option<u128>, data: &[u8]) -> Option<Packed> {
        let decimal = explicit_hash_key.map(|key| key.to_string());
        let full = if self.bytes() + self.growth(partition_key, decimal.as_deref(), data) > self.max_bytes {
            self.finish()
        } else {
            None
        };
        self.first.get_or_insert_with(|| First {
            partition_key: partition_key.to_owned(),
            explicit_hash_key,
            data_bytes: data.len(),
        });
        self.count += 1;
        let number = self.partition_keys.number(partition_key);
        let hash_key = decimal.map(|decimal| self.hash_keys.number(&decimal));
        let records = &mut self.records;
        push_key(records, 3, 2);
        push_varint(records, body_bytes(number, hash_key, data) as u64);
        push_key(records, 1, 0);
        push_varint(records, number);
        if let Some(hash_key) = hash_key {
            push_key(records, 2, 0);
            push_varint(records, hash_key);
        }
        // Last, so that a single user record's data is the end of what is written.
        push_bytes(records, 3, data);
        full
    }

    /// How many user records wait.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The bytes of the aggregate so far, exactly. The KPL estimates them, and falls short by about three a record.
    pub fn bytes(&self) -> usize {
        MAGIC.len() + self.partition_keys.written.len() + self.hash_keys.written.len() + self.records.len() + DIGEST
    }

    /// Gives what was packed, and begins anew. Nothing where there is none.
    pub fn finish(&mut self) -> Option<Packed> {
        let Self { partition_keys, hash_keys, mut records, first, count, .. } =
            std::mem::replace(self, Self::new(self.max_bytes));
        let First { partition_key, explicit_hash_key, data_bytes } = first?;
        // A single one whose data looks like an aggregate would be taken for one, unless it is packed.
        let data = &records[records.len() - data_bytes..];
        if count == 1 && message(data).is_none() {
            let data = records.split_off(records.len() - data_bytes);
            return Some(Packed { partition_key, explicit_hash_key, data });
        }
        let mut data = [&MAGIC[..], &partition_keys.written, &hash_keys.written, &records].concat();
        let digest = Md5::digest(&data[MAGIC.len()..]);
        data.extend_from_slice(&digest);
        let hash = explicit_hash_key.unwrap_or_else(|| hash_key(&partition_key));
        Some(Packed { partition_key: PARTITION_KEY.to_owned(), explicit_hash_key: Some(hash), data })
    }

    /// By how many bytes a user record makes the aggregate longer.
    fn growth(&self, partition_key: &str, hash_key: Option<&str>, data: &[u8]) -> usize {
        let (number, mut bytes) = self.partition_keys.would_be(partition_key);
        let hash_key = hash_key.map(|hash_key| {
            let (number, more) = self.hash_keys.would_be(hash_key);
            bytes += more;
            number
        });
        bytes + field_bytes(body_bytes(number, hash_key, data))
    }
}

/// A table of keys, each written once, as the field of this number.
#[derive(Debug, Default)]
struct Table<const FIELD: u8> {
    numbers: HashMap<Box<str>, u64>,
    written: Vec<u8>,
}

impl<const FIELD: u8> Table<FIELD> {
    /// A key's number. A new key is written.
    fn number(&mut self, key: &str) -> u64 {
        if let Some(number) = self.numbers.get(key) {
            return *number;
        }
        let number = self.numbers.len() as u64;
        self.numbers.insert(key.into(), number);
        push_bytes(&mut self.written, FIELD, key.as_bytes());
        number
    }

    /// The number that a key has or would get, and the bytes that this would take.
    fn would_be(&self, key: &str) -> (u64, usize) {
        match self.numbers.get(key) {
            Some(number) => (*number, 0),
            None => (self.numbers.len() as u64, field_bytes(key.len())),
        }
    }
}

/// The bytes of a user record's message.
fn body_bytes(partition_key: u64, hash_key: Option<u64>, data: &[u8]) -> usize {
    1 + varint_bytes(partition_key) + hash_key.map_or(0, |key| 1 + varint_bytes(key)) + field_bytes(data.len())
}

/// The bytes of a field that holds this many.
fn field_bytes(length: usize) -> usize {
    1 + varint_bytes(length as u64) + length
}

fn varint_bytes(number: u64) -> usize {
    (64 - (number | 1).leading_zeros()).div_ceil(7) as usize
}

fn push_bytes(to: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    push_key(to, field, 2);
    push_varint(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

fn push_key(to: &mut Vec<u8>, field: u8, wire_type: u8) {
    to.push(field << 3 | wire_type);
}

fn push_varint(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}
