//! From user records to stream records.

use std::collections::HashMap;

use super::frame::{DIGEST_BYTES, MAGIC, framed, hash_key, is_framed};

/// The default size of an aggregate in bytes: the KPL's default of `AggregationMaxSize`.
pub const AGGREGATE_BYTES: usize = 51_200;

/// The partition key of an aggregate of several user records. Its explicit hash key decides its shard.
const PARTITION_KEY: &str = "a";

/// A stream record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The partition key.
    pub partition_key: String,
    /// The explicit hash key. Kinesis takes it as a decimal.
    pub explicit_hash_key: Option<u128>,
    /// The payload: a user record's data or an aggregate.
    pub data: Vec<u8>,
}

/// Packs user records into aggregates as the KPL does. A single user record is sent as it is.
///
/// An aggregate goes to one shard, that of its first user record. So each shard needs its own aggregator, which gets
/// only the user records that belong there (see [`hash_key`]). A consumer that filters by hash key drops the others.
#[derive(Debug)]
pub struct Aggregator {
    max_bytes: usize,
    partition_keys: Table<1>,
    hash_keys: Table<2>,
    records: Vec<u8>,
    first: Option<FirstRecord>,
    count: usize,
}

/// The first user record, without its data.
#[derive(Debug)]
struct FirstRecord {
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
    /// An aggregator whose aggregates have at most this many bytes. A user record that is longer by itself is sent as
    /// it is: the caller has to keep Kinesis's limit.
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

    /// Adds a user record. If it does not fit, this returns the aggregate before it, and the record begins the next
    /// one.
    #[must_use = "a full aggregate has to be sent"]
    pub fn add(&mut self, partition_key: &str, explicit_hash_key: Option<u128>, data: &[u8]) -> Option<Packed> {
        let decimal = explicit_hash_key.map(|key| key.to_string());
        let full = if self.bytes() + self.growth(partition_key, decimal.as_deref(), data) > self.max_bytes {
            self.finish()
        } else {
            None
        };
        self.first.get_or_insert_with(|| FirstRecord {
            partition_key: partition_key.to_owned(),
            explicit_hash_key,
            data_bytes: data.len(),
        });
        self.count += 1;
        let number = self.partition_keys.index_of(partition_key);
        let hash_key = decimal.map(|decimal| self.hash_keys.index_of(&decimal));
        let records = &mut self.records;
        push_key(records, 3, 2);
        push_varint(records, body_bytes(number, hash_key, data) as u64);
        push_key(records, 1, 0);
        push_varint(records, number);
        if let Some(hash_key) = hash_key {
            push_key(records, 2, 0);
            push_varint(records, hash_key);
        }
        // Last, so that the data of a single user record is a suffix of `records`.
        push_bytes(records, 3, data);
        full
    }

    /// The number of user records in the aggregate.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether the aggregate has no user records.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The exact size of the aggregate so far. The KPL's estimate is about three bytes per record too low.
    pub fn bytes(&self) -> usize {
        MAGIC.len()
            + self.partition_keys.written.len()
            + self.hash_keys.written.len()
            + self.records.len()
            + DIGEST_BYTES
    }

    /// Takes the aggregate and begins the next; `None` if it has no user records.
    pub fn finish(&mut self) -> Option<Packed> {
        let Self { partition_keys, hash_keys, mut records, first, count, .. } =
            std::mem::replace(self, Self::new(self.max_bytes));
        let FirstRecord { partition_key, explicit_hash_key, data_bytes } = first?;
        // Data that looks like an aggregate has to be packed, or consumers would unpack it.
        let data = &records[records.len() - data_bytes..];
        if count == 1 && !is_framed(data) {
            let data = records.split_off(records.len() - data_bytes);
            return Some(Packed { partition_key, explicit_hash_key, data });
        }
        let data = framed(&[&partition_keys.written, &hash_keys.written, &records]);
        let hash = explicit_hash_key.unwrap_or_else(|| hash_key(&partition_key));
        Some(Packed { partition_key: PARTITION_KEY.to_owned(), explicit_hash_key: Some(hash), data })
    }

    /// The bytes that a user record adds to the aggregate.
    fn growth(&self, partition_key: &str, hash_key: Option<&str>, data: &[u8]) -> usize {
        let (number, mut bytes) = self.partition_keys.peek(partition_key);
        let hash_key = hash_key.map(|hash_key| {
            let (number, more) = self.hash_keys.peek(hash_key);
            bytes += more;
            number
        });
        bytes + field_bytes(body_bytes(number, hash_key, data))
    }
}

/// A table of distinct keys, written as the field with this number.
#[derive(Debug, Default)]
struct Table<const FIELD: u8> {
    indexes: HashMap<Box<str>, u64>,
    written: Vec<u8>,
}

impl<const FIELD: u8> Table<FIELD> {
    /// A key's index. A new key is written.
    fn index_of(&mut self, key: &str) -> u64 {
        if let Some(number) = self.indexes.get(key) {
            return *number;
        }
        let number = self.indexes.len() as u64;
        self.indexes.insert(key.into(), number);
        push_bytes(&mut self.written, FIELD, key.as_bytes());
        number
    }

    /// The index that a key has or would get, and the bytes that adding it would take.
    fn peek(&self, key: &str) -> (u64, usize) {
        match self.indexes.get(key) {
            Some(number) => (*number, 0),
            None => (self.indexes.len() as u64, field_bytes(key.len())),
        }
    }
}

/// The bytes of a user record's message.
fn body_bytes(partition_key: u64, hash_key: Option<u64>, data: &[u8]) -> usize {
    1 + varint_bytes(partition_key) + hash_key.map_or(0, |key| 1 + varint_bytes(key)) + field_bytes(data.len())
}

/// The bytes of a field with a value of this length.
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
