//! The protobuf message of an aggregate, read in place:
//!
//! ```text
//! AggregatedRecord {
//!     repeated string partition_key_table = 1;
//!     repeated string explicit_hash_key_table = 2;
//!     repeated Record records = 3;
//! }
//! Record {
//!     required uint64 partition_key_index = 1; optional uint64 explicit_hash_key_index = 2; required bytes data = 3;
//!     repeated Tag tags = 4;
//! }
//! Tag { required string key = 1; optional string value = 2; }
//! ```
//!
//! It is parsed by hand because callers need spans; a library would copy each user record or count references to it.
//! Tests compare it with `prost`.

use paceline_pipeline::model::Span;

/// The depth to which nested groups are skipped, that of protobuf's own libraries. The format has no groups.
const DEPTH: u32 = 100;

/// The content of an aggregate, as spans of the bytes that it was read from.
#[derive(Debug, Default)]
pub(super) struct Aggregate {
    pub(super) partition_keys: Vec<Span>,
    pub(super) hash_keys: Vec<Span>,
    pub(super) records: Vec<UserRecord>,
}

/// A user record. Its keys are indexes into the tables.
#[derive(Debug)]
pub(super) struct UserRecord {
    pub(super) partition_key: u64,
    pub(super) hash_key: Option<u64>,
    pub(super) data: Span,
}

/// The bytes are not such a message.
#[derive(Debug)]
pub(super) struct Malformed;

/// Reads the message in this span.
pub(super) fn read(bytes: &[u8], message: Span) -> Result<Aggregate, Malformed> {
    let mut aggregate = Aggregate::default();
    let mut fields = Fields::of(bytes, message);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(key)) => aggregate.partition_keys.push(key),
            (2, Value::Bytes(key)) => aggregate.hash_keys.push(key),
            (3, Value::Bytes(record)) => aggregate.records.push(user_record(bytes, record)?),
            (1..=3, _) => return Err(Malformed),
            _ => {}
        }
    }
    Ok(aggregate)
}

fn user_record(bytes: &[u8], message: Span) -> Result<UserRecord, Malformed> {
    let (mut partition_key, mut hash_key, mut data) = (None, None, None);
    let mut fields = Fields::of(bytes, message);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Integer(number)) => partition_key = Some(number),
            (2, Value::Integer(number)) => hash_key = Some(number),
            (3, Value::Bytes(span)) => data = Some(span),
            (4, Value::Bytes(message)) => tag(bytes, message)?,
            (1..=4, _) => return Err(Malformed),
            _ => {}
        }
    }
    Ok(UserRecord { partition_key: partition_key.ok_or(Malformed)?, hash_key, data: data.ok_or(Malformed)? })
}

/// Tags are not used, but a message with a malformed one is malformed.
fn tag(bytes: &[u8], message: Span) -> Result<(), Malformed> {
    let mut has_key = false;
    let mut fields = Fields::of(bytes, message);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(_)) => has_key = true,
            (2, Value::Bytes(_)) => {}
            (1..=2, _) => return Err(Malformed),
            _ => {}
        }
    }
    if has_key { Ok(()) } else { Err(Malformed) }
}

/// A field's value.
enum Value {
    Integer(u64),
    Bytes(Span),
    /// Of a type that the format does not use.
    Other,
}

/// The fields of a message, in order.
struct Fields<'a> {
    /// All bytes up to the message's end.
    bytes: &'a [u8],
    /// Where the next field begins.
    at: usize,
}

impl<'a> Fields<'a> {
    fn of(bytes: &'a [u8], message: Span) -> Self {
        Self { bytes: &bytes[..message.end as usize], at: message.start as usize }
    }

    /// A field's number and value.
    fn next(&mut self) -> Result<Option<(u32, Value)>, Malformed> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        let (number, wire_type) = self.key()?;
        Ok(Some((number, self.value(number, wire_type, 0)?)))
    }

    fn value(&mut self, number: u32, wire_type: u32, depth: u32) -> Result<Value, Malformed> {
        match wire_type {
            0 => self.varint().map(Value::Integer),
            1 => self.take(8).map(|_| Value::Other),
            2 => {
                let length = self.varint()?;
                self.take(length).map(Value::Bytes)
            }
            3 if depth < DEPTH => loop {
                match self.key()? {
                    (end, 4) if end == number => return Ok(Value::Other),
                    (inner, wire_type) => self.value(inner, wire_type, depth + 1)?,
                };
            },
            5 => self.take(4).map(|_| Value::Other),
            _ => Err(Malformed),
        }
    }

    /// A field's number and wire type.
    fn key(&mut self) -> Result<(u32, u32), Malformed> {
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed)?;
        if key >> 3 == 0 { Err(Malformed) } else { Ok((key >> 3, key & 7)) }
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at).ok_or(Malformed)?;
            self.at += 1;
            // The tenth byte holds the last of the 64 bits.
            if shift == 63 && byte > 1 {
                return Err(Malformed);
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, length: u64) -> Result<Span, Malformed> {
        if length > (self.bytes.len() - self.at) as u64 {
            return Err(Malformed);
        }
        let start = self.at;
        self.at += length as usize;
        Ok(Span { start: start as u32, end: self.at as u32 })
    }
}
