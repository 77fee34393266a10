//! Items of groups as DynamoDB holds them, and how large they are there.
//!
//! What people read stands under the names that the rulebook gave. What paceline needs stands beside it under names
//! that begin with `@`, which no rulebook may use.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use paceline_pipeline::model::{Attribute, Item, Key, Provenance, RESERVED_PREFIX};
use paceline_pipeline::store::UnstorableItem;

use super::cache::CachedItem;

/// Attributes by name.
pub(super) type Map = HashMap<String, AttributeValue>;

/// The table's hash key.
pub(super) const PARTITION: &str = "PK";
/// The table's range key.
pub(super) const SORT: &str = "SK";
/// What a conditional write compares.
pub(super) const REVISION: &str = "@revision";
const STATE: &str = "@state";
const DEDUP: &str = "@dedup";
const RULEBOOK: &str = "@rulebook";
const PLUGINS: &str = "@plugins";

/// DynamoDB takes items of up to 400 KB. Its own count of a number is only approximately documented, so a little is
/// left free.
pub(super) const MAX_ITEM_BYTES: usize = 400 * 1024 - 1024;

/// DynamoDB's limit for the bytes of an attribute's name.
const MAX_NAME_BYTES: usize = 65_535;

/// What a number takes at most: one byte for two digits, of which an integer of 64 bits has 20, and two around them.
const NUMBER_BYTES: usize = 12;

/// The numbers that DynamoDB holds, in magnitude, beside 0.
const SMALLEST: f64 = 1e-130;
const TOO_LARGE: f64 = 1e126;

pub(super) fn key_map(key: &Key) -> Map {
    Map::from([
        (PARTITION.to_owned(), AttributeValue::S(key.partition.clone())),
        (SORT.to_owned(), AttributeValue::S(key.sort.clone())),
    ])
}

/// The key of an item, if it has one of the right types.
pub(super) fn key_of(map: &Map) -> Option<Key> {
    let text = |name: &str| map.get(name).and_then(|value| value.as_s().ok()).cloned();
    Some(Key { partition: text(PARTITION)?, sort: text(SORT)? })
}

/// Whether DynamoDB can hold an item. `index` is the attribute that is an index's hash key.
pub(super) fn check(key: &Key, item: &Item, index: &str) -> Result<(), UnstorableItem> {
    Key::check(&key.partition, &key.sort).map_err(|error| UnstorableItem(error.to_string()))?;
    for (name, value) in &item.attributes {
        check_attribute(name, value, index).map_err(UnstorableItem)?;
    }
    match size(key, item) {
        bytes if bytes > MAX_ITEM_BYTES => Err(UnstorableItem(format!(
            "it has {bytes} bytes, {} of them state; DynamoDB takes {MAX_ITEM_BYTES}",
            item.state.len()
        ))),
        _ => Ok(()),
    }
}

fn check_attribute(name: &str, value: &Attribute, index: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        let length = name.len();
        return Err(format!("an attribute's name has {length} bytes; DynamoDB takes 1 to {MAX_NAME_BYTES}"));
    }
    if name.starts_with(RESERVED_PREFIX) || [PARTITION, SORT].contains(&name) {
        return Err(format!("an attribute can't be named `{name}`: that name is taken"));
    }
    let is_number = matches!(value, Attribute::Number(_) | Attribute::Integer(_));
    if let Attribute::Number(number) = value
        && *number != 0.0
        && !(SMALLEST..TOO_LARGE).contains(&number.abs())
    {
        return Err(format!(
            "attribute `{name}` is {number:e}; DynamoDB holds numbers from 1e-130 to 9.99e125 in magnitude"
        ));
    }
    match name == index && !is_number {
        true => Err(format!("attribute `{name}` is the key of an index and must be a number")),
        false => Ok(()),
    }
}

/// The bytes of an item as DynamoDB counts them: names and values. Never fewer than the real ones.
pub(super) fn size(key: &Key, item: &Item) -> usize {
    let ours =
        [PARTITION, SORT, REVISION, STATE, DEDUP, RULEBOOK, PLUGINS].iter().map(|name| name.len()).sum::<usize>();
    let dedup = dedup_bytes(item).len();
    let rulebook = item.provenance.race_type.len() + 1 + 20;
    let values: usize = item
        .attributes
        .iter()
        .map(|(name, value)| {
            name.len()
                + match value {
                    Attribute::Boolean(_) => 1,
                    Attribute::Integer(_) | Attribute::Number(_) => NUMBER_BYTES,
                    Attribute::Text(text) => text.len(),
                    Attribute::Blob(bytes) => bytes.len(),
                }
        })
        .sum();
    let keys = key.partition.len() + key.sort.len();
    ours + keys + NUMBER_BYTES + item.state.len() + dedup + rulebook + 32 * item.provenance.plugins.len() + values
}

fn dedup_bytes(item: &Item) -> Vec<u8> {
    postcard::to_allocvec(&item.dedup).expect("a dedup state can always be encoded")
}

/// All attributes of an item but the key's, ours first.
pub(super) fn attributes(item: &Item) -> Vec<(&str, AttributeValue)> {
    let blob = |bytes: &[u8]| AttributeValue::B(Blob::new(bytes));
    let Provenance { race_type, version, plugins } = &*item.provenance;
    let dedup = dedup_bytes(item);
    let mut all = vec![
        (REVISION, AttributeValue::N(item.revision.to_string())),
        (STATE, blob(&item.state)),
        (DEDUP, AttributeValue::B(Blob::new(dedup))),
        (RULEBOOK, AttributeValue::S(format!("{race_type}/{version}"))),
        (PLUGINS, AttributeValue::B(Blob::new(plugins.concat()))),
    ];
    all.extend(item.attributes.iter().map(|(name, value)| {
        let value = match value {
            Attribute::Boolean(value) => AttributeValue::Bool(*value),
            Attribute::Integer(value) => AttributeValue::N(value.to_string()),
            Attribute::Number(value) => AttributeValue::N(number_text(*value)),
            Attribute::Text(value) => AttributeValue::S(value.clone()),
            Attribute::Blob(value) => blob(value),
        };
        (&**name, value)
    }));
    all
}

/// An item as one map.
pub(super) fn encode(key: &Key, item: &Item) -> Map {
    let mut map: Map = attributes(item).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    map.extend(key_map(key));
    map
}

/// Whether a map is an item of a group, written by paceline.
pub(super) fn is_ours(map: &Map) -> bool {
    map.contains_key(REVISION)
}

/// Reads an item. Attributes come out by name.
pub(super) fn decode(mut map: Map) -> Result<CachedItem, String> {
    fn take<T>(map: &mut Map, name: &str, read: impl FnOnce(AttributeValue) -> Option<T>) -> Result<T, String> {
        map.remove(name).and_then(read).ok_or_else(|| format!("its `{name}` is missing or is not what paceline writes"))
    }
    fn bytes(value: AttributeValue) -> Option<Vec<u8>> {
        match value {
            AttributeValue::B(bytes) => Some(bytes.into_inner()),
            _ => None,
        }
    }
    let revision = take(&mut map, REVISION, |value| value.as_n().ok()?.parse().ok())?;
    let state = take(&mut map, STATE, bytes)?;
    let dedup = take(&mut map, DEDUP, |value| postcard::from_bytes(&bytes(value)?).ok())?;
    let (race_type, version) = take(&mut map, RULEBOOK, |value| {
        let (race_type, version) = value.as_s().ok()?.rsplit_once('/')?;
        Some((race_type.to_owned(), version.parse().ok()?))
    })?;
    let plugins = take(&mut map, PLUGINS, |value| {
        let bytes = bytes(value)?;
        let (digests, rest) = bytes.as_chunks::<32>();
        rest.is_empty().then(|| digests.to_vec())
    })?;
    let mut unknown = Vec::new();
    let mut attributes: Vec<(Arc<str>, Attribute)> = Vec::with_capacity(map.len());
    for (name, value) in map {
        if name == PARTITION || name == SORT {
            continue;
        }
        let value = match value {
            AttributeValue::Bool(value) => Some(Attribute::Boolean(value)),
            AttributeValue::N(text) => number(&text),
            AttributeValue::S(text) => Some(Attribute::Text(text)),
            AttributeValue::B(bytes) => Some(Attribute::Blob(bytes.into_inner())),
            _ => None,
        };
        match value {
            Some(value) if !name.starts_with(RESERVED_PREFIX) => attributes.push((name.into(), value)),
            _ => unknown.push(name),
        }
    }
    attributes.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let provenance = Arc::new(Provenance { race_type, version, plugins });
    Ok(CachedItem { item: Some(Item { revision, state, dedup, attributes, provenance }), unknown })
}

/// An item as it would be read back.
pub(super) fn as_read(item: &Item) -> Item {
    let mut item = item.clone();
    for (_, value) in &mut item.attributes {
        // A number without a fraction comes back as an integer, where it fits in one.
        if let Attribute::Number(real) = value
            && real.fract() == 0.0
            && let Some(read) = number(&number_text(*real))
        {
            *value = read;
        }
    }
    item.attributes.sort_by(|(a, _), (b, _)| a.cmp(b));
    item
}

/// The shortest text that gives the number back, with an exponent where zeros would fill it up.
fn number_text(number: f64) -> String {
    let magnitude = number.abs();
    if number == 0.0 {
        "0".to_owned()
    } else if (1e-5..1e17).contains(&magnitude) {
        number.to_string()
    } else {
        format!("{number:e}")
    }
}

/// Reads a number, in whatever form DynamoDB gives it: an integer where it is one that fits.
fn number(text: &str) -> Option<Attribute> {
    match integer(text) {
        Some(integer) => Some(Attribute::Integer(integer)),
        None => text.parse().ok().filter(|number: &f64| number.is_finite()).map(Attribute::Number),
    }
}

/// The integer that a decimal stands for, exactly.
fn integer(text: &str) -> Option<i64> {
    if let Ok(integer) = text.parse() {
        return Some(integer);
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_end_matches('0');
    let zeros = exponent.checked_sub(fraction.len() as i32)?.checked_add((digits.len() - significant.len()) as i32)?;
    if significant.is_empty() {
        return Some(0);
    }
    let zeros = usize::try_from(zeros).ok().filter(|zeros| *zeros < 20)?;
    format!("{sign}{significant}{}", "0".repeat(zeros)).parse().ok()
}

#[cfg(test)]
mod tests {
    use paceline_pipeline::dedup::{DedupState, LastPositions, OrdinalSet};
    use paceline_pipeline::model::RecordPosition;
    use proptest::prelude::*;

    use super::*;

    fn key() -> Key {
        Key { partition: "race-1".into(), sort: "racer-1".into() }
    }

    fn item(attributes: Vec<(Arc<str>, Attribute)>) -> Item {
        let dedup = DedupState::Ordinal(OrdinalSet::default());
        let provenance = Arc::new(Provenance { race_type: "3".into(), version: 1, plugins: vec![[7; 32]] });
        Item { revision: 1, state: vec![], dedup, attributes, provenance }
    }

    fn value() -> impl Strategy<Value = Attribute> {
        let number = any::<f64>()
            .prop_filter("DynamoDB holds it", |number| *number == 0.0 || (SMALLEST..TOO_LARGE).contains(&number.abs()));
        prop_oneof![
            any::<bool>().prop_map(Attribute::Boolean),
            any::<i64>().prop_map(Attribute::Integer),
            number.prop_map(Attribute::Number),
            (-1e19..1e19_f64).prop_map(|number| Attribute::Number(number.trunc())),
            any::<String>().prop_map(Attribute::Text),
            any::<Vec<u8>>().prop_map(Attribute::Blob),
        ]
    }

    prop_compose! {
        fn items()(
            revision in any::<u64>(),
            state in any::<Vec<u8>>(),
            ordinals in prop::collection::vec(any::<i64>(), 0..5),
            shards in prop::collection::btree_map("[a-z]{1,9}", any::<u64>(), 0..3),
            by_ordinal in any::<bool>(),
            attributes in prop::collection::btree_map("[^@].{0,9}", value(), 0..6),
            race_type in ".{0,5}",
            version in any::<u64>(),
            plugins in prop::collection::vec(any::<[u8; 32]>(), 0..4),
        ) -> Item {
            let dedup = if by_ordinal {
                let mut set = OrdinalSet::default();
                ordinals.iter().for_each(|ordinal| { set.insert(*ordinal); });
                DedupState::Ordinal(set)
            } else {
                let mut dedup = LastPositions::default();
                for (shard, sequence) in shards {
                    dedup.record(&shard.into(), RecordPosition { sequence: sequence.into(), sub_sequence: 3 });
                }
                DedupState::Sequence(dedup)
            };
            let attributes = attributes
                .into_iter()
                .filter(|(name, _)| !["PK", "SK"].contains(&name.as_str()))
                .map(|(name, value)| (name.into(), value))
                .collect();
            let provenance = Arc::new(Provenance { race_type, version, plugins });
            Item { revision, state, dedup, attributes, provenance }
        }
    }

    /// What DynamoDB counts, by its documentation, to the letter.
    fn counted(map: &Map) -> usize {
        map.iter()
            .map(|(name, value)| {
                name.len()
                    + match value {
                        AttributeValue::S(text) => text.len(),
                        AttributeValue::B(bytes) => bytes.as_ref().len(),
                        AttributeValue::Bool(_) => 1,
                        AttributeValue::N(text) => {
                            let mantissa = text.split('e').next().unwrap_or_default();
                            mantissa.bytes().filter(u8::is_ascii_digit).count().min(38).div_ceil(2) + 1
                        }
                        other => panic!("{other:?}"),
                    }
            })
            .sum()
    }

    proptest! {
        #[test]
        fn an_item_comes_back_as_it_went(item in items()) {
            let map = encode(&key(), &item);
            prop_assert_eq!(key_of(&map), Some(key()));
            let cached = decode(map).unwrap();
            prop_assert!(cached.unknown.is_empty());
            let read = cached.item.unwrap();
            prop_assert_eq!(&read, &as_read(&item));
            prop_assert_eq!(&as_read(&read), &read);
        }

        #[test]
        fn the_size_is_never_below_the_real_one(item in items()) {
            prop_assert!(size(&key(), &item) >= counted(&encode(&key(), &item)));
        }

        #[test]
        fn a_number_is_the_same_number_in_any_form(number in any::<i64>(), zeros in 0..5_u32) {
            let scaled = number / 10_i64.pow(zeros);
            let filled = format!("{scaled}{}", "0".repeat(zeros as usize));
            for text in [format!("{scaled}e{zeros}"), format!("{scaled}.000E+{zeros}"), filled] {
                prop_assert_eq!(integer(&text), Some(scaled * 10_i64.pow(zeros)), "{}", text);
            }
        }
    }

    #[test]
    fn numbers_are_integers_where_they_are() {
        for (text, wanted) in [("0", Some(0)), ("-0.0", Some(0)), ("1.50E+1", Some(15)), ("1e-1", None), ("1e19", None)]
        {
            assert_eq!(integer(text), wanted, "{text}");
        }
        assert_eq!(number("1.5"), Some(Attribute::Number(1.5)));
        assert_eq!(number("9223372036854775808"), Some(Attribute::Number(2_f64.powi(63))));
        assert_eq!(number("x"), None);
        assert_eq!(number_text(167.04), "167.04");
        assert_eq!(number_text(1e125), "1e125");
        assert_eq!(number_text(-0.0), "0");
    }

    #[test]
    fn what_dynamodb_does_not_hold_does_not_fit() {
        let with = |name: &str, value: Attribute| check(&key(), &item(vec![(name.into(), value)]), "GSI");
        assert_eq!(with("output", Attribute::Number(188.75)), Ok(()));
        assert_eq!(with("GSI", Attribute::Integer(3)), Ok(()));
        assert_eq!(with("output", Attribute::Number(0.0)), Ok(()));
        for (name, value, part) in [
            ("output", Attribute::Number(1e126), "1e126"),
            ("output", Attribute::Number(-1e-131), "-1e-131"),
            ("output", Attribute::Number(f64::NAN), "NaN"),
            ("GSI", Attribute::Text("3".into()), "must be a number"),
            ("@state", Attribute::Integer(1), "taken"),
            ("PK", Attribute::Integer(1), "taken"),
            ("", Attribute::Integer(1), "0 bytes"),
            ("big", Attribute::Blob(vec![0; MAX_ITEM_BYTES]), "DynamoDB takes 408576"),
        ] {
            let refused = with(name, value).unwrap_err();
            assert!(refused.0.contains(part), "{refused}");
        }
        let at = |partition: &str, sort: &str| {
            check(&Key { partition: partition.into(), sort: sort.into() }, &item(vec![]), "")
        };
        assert_eq!(at(&"p".repeat(2048), &"s".repeat(1024)), Ok(()));
        for (partition, sort) in
            [("", "s"), ("p", ""), (&*"p".repeat(2049), "s"), ("p", &*"s".repeat(1025)), ("@pin/3", "s")]
        {
            assert!(at(partition, sort).is_err(), "{} / {}", partition.len(), sort.len());
        }
    }

    #[test]
    fn what_others_put_on_an_item_is_told_apart() {
        let mut map = encode(&key(), &item(vec![("output".into(), Attribute::Integer(1))]));
        map.insert("tags".into(), AttributeValue::Ss(vec!["a".into()]));
        map.insert("note".into(), AttributeValue::S("by hand".into()));
        let cached = decode(map).unwrap();
        assert_eq!(cached.unknown, ["tags"]);
        assert_eq!(cached.item.unwrap().attribute("note"), Some(&Attribute::Text("by hand".into())));
    }
}
