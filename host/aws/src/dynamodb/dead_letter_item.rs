//! The format of a dead letter's item: an attribute for everything that people search for, and the time at which DynamoDB
//! deletes it.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use paceline_pipeline::model::{Cause, DeadLetter, PARTITION_BYTES, RESERVED_PREFIX, Reason, RecordPosition};

use super::item::{MAX_ITEM_BYTES, Map};
use super::names::shorten;

/// The hash key of the table of dead letters.
pub(super) const ID: &str = "id";
/// The time after which DynamoDB deletes a letter, in seconds since 1970.
pub(super) const EXPIRES: &str = "expires";
/// The id, if it differs from the hash key.
const NAME: &str = "name";
const SHARD: &str = "shard";
const SEQUENCE: &str = "sequence";
const SUB: &str = "sub";
const KEY: &str = "key";
const ARRIVAL: &str = "arrival";
const PAYLOAD: &str = "payload";
const CUT_FROM: &str = "cut-from";
const CAUSE: &str = "cause";
const REASON: &str = "reason";
const FIELD: &str = "field";
const PLUGIN: &str = "plugin";
const RULEBOOK: &str = "rulebook";
pub(super) const REDRIVE: &str = "redrive-sequence";
const FOLDED: &str = "folded";
/// `true`, or not there.
const UNSURE: &str = "unsure";

/// The maximum size of each text of a letter, so that there is room for the payload.
const MAX_TEXT_BYTES: usize = 8 << 10;

/// The maximum size of a number.
const NUMBER_BYTES: usize = 24;

/// Whether this is an item of redrive sequences, not of a letter.
pub(super) fn is_reserved(map: &Map) -> bool {
    text(map, ID).is_some_and(|id| id.starts_with(RESERVED_PREFIX))
}

/// The hash key of a letter: its id. An id that is too long or that begins like a reserved key is changed.
fn key(id: &str) -> String {
    match id.starts_with([RESERVED_PREFIX, '~']) {
        true => shorten(&format!("~{id}"), PARTITION_BYTES),
        false => shorten(id, PARTITION_BYTES),
    }
}

/// The hash key of the item that has a letter's redrive sequence.
pub(super) fn redrive_key(id: &str) -> String {
    reserved_key("redrive", id)
}

/// The hash key of an item that is no letter.
pub(super) fn reserved_key(what: &str, name: &str) -> String {
    shorten(&format!("{RESERVED_PREFIX}{what}/{name}"), PARTITION_BYTES)
}

pub(super) fn key_map(id: &str) -> Map {
    Map::from([(ID.to_owned(), AttributeValue::S(key(id)))])
}

pub(super) fn text(map: &Map, name: &str) -> Option<String> {
    map.get(name)?.as_s().ok().cloned()
}

/// The approximate size of a letter's item.
pub(super) fn size(map: &Map) -> usize {
    map.iter()
        .map(|(name, value)| {
            name.len()
                + match value {
                    AttributeValue::S(text) => text.len(),
                    AttributeValue::B(bytes) => bytes.as_ref().len(),
                    _ => NUMBER_BYTES,
                }
        })
        .sum()
}

/// A letter as an item, with its payload cut if the item would be too large. `expires` is in seconds since 1970.
pub(super) fn encode(letter: &DeadLetter, expires: Option<u64>) -> Map {
    let cut = |text: &str| text[..text.floor_char_boundary(MAX_TEXT_BYTES)].to_owned();
    let mut map = key_map(&letter.id);
    let mut set = |name: &str, value: AttributeValue| drop(map.insert(name.to_owned(), value));
    if key(&letter.id) != letter.id {
        set(NAME, AttributeValue::S(letter.id.clone()));
    }
    set(SHARD, AttributeValue::S(letter.shard.clone()));
    set(SEQUENCE, AttributeValue::S(letter.position.sequence.to_string()));
    set(SUB, AttributeValue::N(letter.position.sub_sequence.to_string()));
    if let Some(key) = &letter.partition_key {
        set(KEY, AttributeValue::S(cut(key)));
    }
    if let Some(arrival) = letter.arrival_ms {
        set(ARRIVAL, AttributeValue::N(arrival.to_string()));
    }
    let Reason { cause, text, field, plugin, rulebook } = &letter.reason;
    set(CAUSE, AttributeValue::S(cause.as_str().to_owned()));
    set(REASON, AttributeValue::S(cut(text)));
    if let Some(field) = field {
        set(FIELD, AttributeValue::S(cut(field)));
    }
    if let Some(plugin) = plugin {
        set(PLUGIN, AttributeValue::B(Blob::new(plugin)));
    }
    if let Some((name, version)) = rulebook {
        set(RULEBOOK, AttributeValue::S(format!("{name}@{version}")));
    }
    if !letter.folded.is_empty() {
        let folded = postcard::to_allocvec(&letter.folded).expect("keys can always be encoded");
        set(FOLDED, AttributeValue::B(Blob::new(folded)));
    }
    if letter.unsure {
        set(UNSURE, AttributeValue::Bool(true));
    }
    if let Some(expires) = expires {
        set(EXPIRES, AttributeValue::N(expires.to_string()));
    }
    // The payload gets the rest of the item.
    let rest = MAX_ITEM_BYTES.saturating_sub(size(&map) + PAYLOAD.len() + CUT_FROM.len() + NUMBER_BYTES);
    let payload = &letter.payload[..letter.payload.len().min(rest)];
    let is_cut = payload.len() < letter.payload.len();
    let cut_from = letter.cut_from.or_else(|| is_cut.then_some(letter.payload.len() as u64));
    map.insert(PAYLOAD.to_owned(), AttributeValue::B(Blob::new(payload)));
    if let Some(length) = cut_from {
        map.insert(CUT_FROM.to_owned(), AttributeValue::N(length.to_string()));
    }
    map
}

pub(super) fn decode(map: &Map) -> Option<DeadLetter> {
    // `Some(None)`: there is no such attribute. `None`: it can't be decoded.
    fn optional<T>(map: &Map, name: &str, decode: impl FnOnce(&AttributeValue) -> Option<T>) -> Option<Option<T>> {
        match map.get(name) {
            Some(value) => decode(value).map(Some),
            None => Some(None),
        }
    }
    fn number<T: std::str::FromStr>(value: &AttributeValue) -> Option<T> {
        value.as_n().ok()?.parse().ok()
    }
    let string = |value: &AttributeValue| value.as_s().ok().cloned();
    Some(DeadLetter {
        id: text(map, NAME).or_else(|| text(map, ID))?,
        shard: text(map, SHARD)?,
        position: RecordPosition { sequence: text(map, SEQUENCE)?.parse().ok()?, sub_sequence: number(map.get(SUB)?)? },
        partition_key: optional(map, KEY, string)?,
        arrival_ms: optional(map, ARRIVAL, number)?,
        payload: map.get(PAYLOAD)?.as_b().ok()?.as_ref().to_vec(),
        cut_from: optional(map, CUT_FROM, number)?,
        reason: Reason {
            cause: text(map, CAUSE)?.parse::<Cause>().ok()?,
            text: text(map, REASON)?,
            field: optional(map, FIELD, string)?,
            plugin: optional(map, PLUGIN, |value| value.as_b().ok()?.as_ref().try_into().ok())?,
            rulebook: optional(map, RULEBOOK, |value| {
                let (name, version) = value.as_s().ok()?.rsplit_once('@')?;
                Some((name.to_owned(), version.parse().ok()?))
            })?,
        },
        // It is an item of its own.
        redrive_sequence: None,
        folded: optional(map, FOLDED, |value| postcard::from_bytes(value.as_b().ok()?.as_ref()).ok())?
            .unwrap_or_default(),
        unsure: optional(map, UNSURE, |value| value.as_bool().ok().copied())?.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use paceline_pipeline::model::Key;
    use proptest::prelude::*;

    use super::*;

    fn empty_letter() -> DeadLetter {
        DeadLetter {
            id: "s:0".into(),
            shard: "s".into(),
            position: RecordPosition::default(),
            partition_key: None,
            arrival_ms: None,
            payload: vec![],
            cut_from: None,
            reason: Reason::new(Cause::Empty, "empty"),
            redrive_sequence: None,
            folded: vec![],
            unsure: false,
        }
    }

    prop_compose! {
        fn letters()(
            (id, shard) in (".{1,40}", ".{1,20}"),
            (sequence, sub_sequence) in (any::<u64>(), any::<u64>()),
            partition_key in prop::option::of(".{0,9}"),
            arrival_ms in any::<Option<i64>>(),
            payload in any::<Vec<u8>>(),
            cut_from in any::<Option<u64>>(),
            cause in prop::sample::select(Cause::ALL.to_vec()),
            text in ".{0,30}",
            field in prop::option::of(".{0,9}"),
            plugin in any::<Option<[u8; 32]>>(),
            rulebook in prop::option::of((".{0,5}", any::<u64>())),
            folded in prop::collection::vec((".{0,9}", ".{0,9}"), 0..3),
            unsure in any::<bool>(),
        ) -> DeadLetter {
            let folded = folded.into_iter().map(|(partition, sort)| Key::new(partition, sort)).collect();
            let position = RecordPosition { sequence: sequence.into(), sub_sequence };
            let reason = Reason { cause, text, field, plugin, rulebook };
            let place = DeadLetter { id, shard, position, partition_key, arrival_ms, ..empty_letter() };
            DeadLetter { payload, cut_from, reason, folded, unsure, ..place }
        }
    }

    proptest! {
        #[test]
        fn a_letter_round_trips(letter in letters()) {
            prop_assert_eq!(decode(&encode(&letter, Some(1))), Some(letter));
        }
    }

    #[test]
    fn a_letter_that_is_too_large_is_cut_and_keeps_the_length() {
        let reason = Reason::new(Cause::TooLarge, "é".repeat(100_000)).at("/x".repeat(100_000));
        let letter = DeadLetter {
            id: "@".repeat(5000),
            position: RecordPosition { sequence: 7.into(), sub_sequence: 0 },
            partition_key: Some("k".repeat(100_000)),
            payload: vec![7; 500_000],
            reason,
            ..empty_letter()
        };
        let map = encode(&letter, Some(1));
        assert!(size(&map) <= MAX_ITEM_BYTES, "{}", size(&map));
        let read = decode(&map).unwrap();
        assert_eq!((&read.id, read.cut_from), (&letter.id, Some(500_000)));
        assert!(read.payload.len() > 350_000, "{}", read.payload.len());
        let key = text(&map, ID).unwrap();
        assert!(key.starts_with("~@") && key.len() <= PARTITION_BYTES && !is_reserved(&map));
        // The length of a payload that was cut before is kept.
        assert_eq!(
            decode(&encode(&DeadLetter { cut_from: Some(1 << 30), ..letter }, None)).unwrap().cut_from,
            Some(1 << 30)
        );
    }
}
