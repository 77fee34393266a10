//! The format of a group's item, and its size.
//!
//! The attributes of a rulebook have the names that the rulebook gives. Paceline's own attributes have names that begin
//! with `@`, which rulebooks can't use.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use paceline_engine::Digest;
use paceline_pipeline::dedup::DedupState;
use paceline_pipeline::model::{Attribute, Item, Key, Provenance, RESERVED_PREFIX, RulebookId, RulesRevision, SmolStr};
use paceline_pipeline::store::UnstorableItem;

use super::cache::CachedItem;
use super::number::{number_text, parse_number};

/// Attributes by name.
pub(super) type Map = HashMap<String, AttributeValue>;

/// The hash key.
pub(super) const PARTITION: &str = "PK";
/// The range key.
pub(super) const SORT: &str = "SK";
/// The attribute that conditional writes compare.
pub(super) const REVISION: &str = "@revision";
const STATE: &str = "@state";
const DEDUP: &str = "@dedup";
/// Name, version and digest of the rulebook.
const RULEBOOK: &str = "@rulebook";
/// The registry, and the revision of its rules.
const RULES: &str = "@rules";
const STATE_FORMAT: &str = "@state-format";
const DEDUP_RULE: &str = "@dedup-rule";
const PLUGINS: &str = "@plugins";
/// `true`, or not there.
const RERULED: &str = "@reruled";

/// The maximum size of an item. DynamoDB's limit is 400 KB; the margin is for numbers, whose size is documented only
/// approximately.
pub(super) const MAX_ITEM_BYTES: usize = 400 * 1024 - 1024;

/// DynamoDB's limit for the bytes of an attribute's name.
const MAX_NAME_BYTES: usize = 65_535;

/// The maximum size of a number: a byte for two digits, of which an integer of 64 bits has 20, and two bytes more.
pub(super) const NUMBER_BYTES: usize = 12;

/// Decimal digits of the largest `u64`.
const U64_DIGITS: usize = 20;

/// Characters of a digest's text.
const DIGEST_CHARS: usize = "sha256:".len() + 64;

/// The range of numbers that DynamoDB holds, by magnitude: 0, and `MIN_MAGNITUDE..END_MAGNITUDE`.
const MIN_MAGNITUDE: f64 = 1e-130;
const END_MAGNITUDE: f64 = 1e126;

/// An attribute of paceline's own that can't be decoded.
#[derive(Debug, thiserror::Error)]
#[error("its `{0}` is missing or has a value that paceline does not write")]
pub(super) struct InvalidAttribute(&'static str);

pub(super) fn key_map(key: &Key) -> Map {
    Map::from([
        (PARTITION.to_owned(), AttributeValue::S(key.partition.to_string())),
        (SORT.to_owned(), AttributeValue::S(key.sort.to_string())),
    ])
}

/// The key of an item; `None` if it has none of texts.
pub(super) fn key_of(map: &Map) -> Option<Key> {
    let text = |name: &str| map.get(name).and_then(|value| value.as_s().ok()).cloned();
    Some(Key::new(text(PARTITION)?, text(SORT)?))
}

/// Whether DynamoDB can hold an item. `index_attribute` is the hash key of the global index.
pub(super) fn check(key: &Key, item: &Item, index_attribute: &str) -> Result<(), UnstorableItem> {
    Key::check(&key.partition, &key.sort).map_err(|error| UnstorableItem(error.to_string()))?;
    for (name, value) in &item.attributes {
        check_attribute(name, value, index_attribute)?;
    }
    match size(key, item) {
        bytes if bytes > MAX_ITEM_BYTES => Err(UnstorableItem(format!(
            "the item has {bytes} bytes, {} of them state; the limit is {MAX_ITEM_BYTES}",
            item.state.len()
        ))),
        _ => Ok(()),
    }
}

fn check_attribute(name: &str, value: &Attribute, index_attribute: &str) -> Result<(), UnstorableItem> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        let length = name.len();
        return Err(UnstorableItem(format!(
            "the name of an attribute has {length} bytes; DynamoDB's limits are 1 and {MAX_NAME_BYTES}"
        )));
    }
    if name.starts_with(RESERVED_PREFIX) || [PARTITION, SORT].contains(&name) {
        return Err(UnstorableItem(format!("an attribute has the reserved name `{name}`")));
    }
    if let Attribute::Number(number) = value
        && *number != 0.0
        && !(MIN_MAGNITUDE..END_MAGNITUDE).contains(&number.abs())
    {
        return Err(UnstorableItem(format!(
            "attribute `{name}` is {number:e}; DynamoDB holds numbers from 1e-130 to 9.99e125 in magnitude"
        )));
    }
    let is_number = matches!(value, Attribute::Number(_) | Attribute::Integer(_));
    if name == index_attribute && !is_number {
        return Err(UnstorableItem(format!("attribute `{name}` is the key of an index and must be a number")));
    }
    Ok(())
}

/// An upper bound of an item's size as DynamoDB counts it: the bytes of names and values.
pub(super) fn size(key: &Key, item: &Item) -> usize {
    let names = [PARTITION, SORT, REVISION, STATE, DEDUP, RULEBOOK, RULES, STATE_FORMAT, DEDUP_RULE, PLUGINS];
    let reserved_names: usize = names.iter().map(|name| name.len()).sum();
    // Room for the mark, whether it is set or not.
    let mark = RERULED.len() + 1;
    let keys = key.partition.len() + key.sort.len();
    let dedup = item.dedup.to_bytes().len();
    let rulebook = item.provenance.rulebook.name.len() + "@ ".len() + U64_DIGITS + DIGEST_CHARS;
    let RulesRevision { registry, .. } = &item.provenance.rules;
    let rules = registry.len() + "/+".len() + 2 * U64_DIGITS;
    let formats = item.provenance.state_format.len() + item.provenance.dedup_rule.len();
    let plugins = 32 * item.provenance.plugins.len();
    let attributes: usize = item.attributes.iter().map(|(name, value)| name.len() + value_size(value)).sum();
    reserved_names
        + mark
        + keys
        + NUMBER_BYTES
        + item.state.len()
        + dedup
        + rulebook
        + rules
        + formats
        + plugins
        + attributes
}

/// An upper bound of the size of a value.
pub(super) fn value_size(value: &Attribute) -> usize {
    match value {
        Attribute::Boolean(_) => 1,
        Attribute::Integer(_) | Attribute::Number(_) => NUMBER_BYTES,
        Attribute::Text(text) => text.len(),
        Attribute::Blob(bytes) => bytes.len(),
    }
}

/// All attributes of an item except its key: paceline's own, then the rulebook's.
pub(super) fn attributes(item: &Item) -> Vec<(&str, AttributeValue)> {
    let blob = |bytes: &[u8]| AttributeValue::B(Blob::new(bytes));
    let Provenance { rulebook, rules, plugins, state_format, dedup_rule } = &*item.provenance;
    let plugins: Vec<u8> = plugins.iter().flat_map(Digest::as_bytes).copied().collect();
    let dedup = item.dedup.to_bytes();
    let mut all = vec![
        (REVISION, AttributeValue::N(item.revision.to_string())),
        (STATE, blob(&item.state)),
        (DEDUP, AttributeValue::B(Blob::new(dedup))),
        (RULEBOOK, AttributeValue::S(format!("{rulebook} {}", rulebook.digest))),
        (RULES, AttributeValue::S(format!("{}/{rules}", rules.registry))),
        (STATE_FORMAT, AttributeValue::S(state_format.clone())),
        (DEDUP_RULE, AttributeValue::S(dedup_rule.clone())),
        (PLUGINS, AttributeValue::B(Blob::new(plugins))),
    ];
    if item.reruled {
        all.push((RERULED, AttributeValue::Bool(true)));
    }
    all.extend(item.attributes.iter().map(|(name, value)| (&**name, attribute_value(value))));
    all
}

/// The value of an attribute, as DynamoDB has it.
pub(super) fn attribute_value(value: &Attribute) -> AttributeValue {
    match value {
        Attribute::Boolean(value) => AttributeValue::Bool(*value),
        Attribute::Integer(value) => AttributeValue::N(value.to_string()),
        Attribute::Number(value) => AttributeValue::N(number_text(*value)),
        Attribute::Text(value) => AttributeValue::S(value.clone()),
        Attribute::Blob(value) => AttributeValue::B(Blob::new(value.as_slice())),
    }
}

/// The names of the attributes of an item that a later item may lack.
pub(super) fn removable_names(item: &Item) -> impl Iterator<Item = &str> {
    let mark = item.reruled.then_some(RERULED);
    item.attributes.iter().map(|(name, _)| &**name).chain(mark)
}

/// An item with its key.
pub(super) fn encode(key: &Key, item: &Item) -> Map {
    let mut map: Map = attributes(item).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    map.extend(key_map(key));
    map
}

/// Whether paceline wrote this item for a group.
pub(super) fn is_group(map: &Map) -> bool {
    map.contains_key(REVISION)
}

/// Decodes an item. Its attributes are sorted by name.
pub(super) fn decode(mut map: Map) -> Result<CachedItem, InvalidAttribute> {
    fn take<T>(
        map: &mut Map,
        name: &'static str,
        decode: impl FnOnce(AttributeValue) -> Option<T>,
    ) -> Result<T, InvalidAttribute> {
        map.remove(name).and_then(decode).ok_or(InvalidAttribute(name))
    }
    fn bytes(value: AttributeValue) -> Option<Vec<u8>> {
        match value {
            AttributeValue::B(bytes) => Some(bytes.into_inner()),
            _ => None,
        }
    }
    let revision = take(&mut map, REVISION, |value| value.as_n().ok()?.parse().ok())?;
    let state = take(&mut map, STATE, bytes)?;
    let dedup = take(&mut map, DEDUP, |value| DedupState::from_bytes(&bytes(value)?).ok())?;
    let rulebook = take(&mut map, RULEBOOK, |value| {
        let (name, digest) = value.as_s().ok()?.rsplit_once(' ')?;
        let (name, version) = name.rsplit_once('@')?;
        Some(RulebookId { name: name.to_owned(), version: version.parse().ok()?, digest: digest.parse().ok()? })
    })?;
    let rules = take(&mut map, RULES, |value| {
        let (registry, revision) = value.as_s().ok()?.rsplit_once('/')?;
        let (revision, vetoes) = revision.split_once('+').unwrap_or((revision, "0"));
        let (revision, vetoes) = (revision.parse().ok()?, vetoes.parse().ok()?);
        Some(RulesRevision { registry: registry.to_owned(), revision, vetoes })
    })?;
    let text = |value: AttributeValue| value.as_s().ok().cloned();
    let state_format = take(&mut map, STATE_FORMAT, text)?;
    let dedup_rule = take(&mut map, DEDUP_RULE, text)?;
    let plugins = take(&mut map, PLUGINS, |value| {
        let bytes = bytes(value)?;
        let (digests, rest) = bytes.as_chunks::<32>();
        rest.is_empty().then(|| digests.iter().copied().map(Digest::from).collect())
    })?;
    let reruled = match map.remove(RERULED) {
        None => false,
        Some(AttributeValue::Bool(true)) => true,
        Some(_) => return Err(InvalidAttribute(RERULED)),
    };
    let mut unknown = Vec::new();
    let mut attributes: Vec<(SmolStr, Attribute)> = Vec::with_capacity(map.len());
    for (name, value) in map {
        if name == PARTITION || name == SORT {
            continue;
        }
        let value = match value {
            AttributeValue::Bool(value) => Some(Attribute::Boolean(value)),
            AttributeValue::N(text) => parse_number(&text),
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
    let provenance = Arc::new(Provenance { rulebook, rules, plugins, state_format, dedup_rule });
    Ok(CachedItem { item: Some(Item { revision, state, dedup, attributes, provenance, reruled }), unknown })
}

/// An item as it is read back after it was written.
pub(super) fn as_read(item: &Item) -> Item {
    let mut item = item.clone();
    for (_, value) in &mut item.attributes {
        // A number without a fraction is read as an integer if it fits into one.
        if let Attribute::Number(real) = value
            && real.fract() == 0.0
            && let Some(read) = parse_number(&number_text(*real))
        {
            *value = read;
        }
    }
    item.attributes.sort_by(|(a, _), (b, _)| a.cmp(b));
    item
}

/// Where items of tests come from.
#[cfg(test)]
pub(super) fn test_provenance() -> Arc<Provenance> {
    let rulebook = RulebookId { name: "flat".into(), version: 1, digest: [6; 32].into() };
    let (rules, plugins) = (RulesRevision::new("0123456789", 5), vec![[7; 32].into()]);
    Arc::new(Provenance {
        rulebook,
        rules,
        plugins,
        state_format: "sum/1".into(),
        dedup_rule: "ordinal /second".into(),
    })
}

#[cfg(test)]
mod tests {
    use paceline_pipeline::dedup::{LastPositions, OrdinalSet};
    use paceline_pipeline::model::RecordPosition;
    use proptest::prelude::*;

    use super::*;

    fn key() -> Key {
        Key::new("race-1", "racer-1")
    }

    fn item(attributes: Vec<(SmolStr, Attribute)>) -> Item {
        let dedup = DedupState::Ordinal(OrdinalSet::default());
        Item { revision: 1, state: vec![], dedup, attributes, provenance: test_provenance(), reruled: false }
    }

    fn value() -> impl Strategy<Value = Attribute> {
        let number = any::<f64>().prop_filter("a number that DynamoDB holds", |number| {
            *number == 0.0 || (MIN_MAGNITUDE..END_MAGNITUDE).contains(&number.abs())
        });
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
            (name, reruled) in (".{0,5}", any::<bool>()),
            (revision_of_rules, vetoes) in any::<(u64, u32)>(),
            (state_format, dedup_rule) in ("[a-z/0-9]{1,20}", "(sequence|ordinal /.{0,20})"),
            version in any::<u64>(),
            plugins in prop::collection::vec(any::<[u8; 32]>(), 0..4),
        ) -> Item {
            let dedup = if by_ordinal {
                let mut set = OrdinalSet::default();
                ordinals.iter().for_each(|ordinal| { set.insert(*ordinal); });
                DedupState::Ordinal(set)
            } else {
                let mut positions = LastPositions::default();
                for (shard, sequence) in shards {
                    let position = RecordPosition { sequence: sequence.into(), sub_sequence: 3 };
                    positions.record(&shard.into(), position, Some(sequence as i64));
                }
                DedupState::Sequence(positions)
            };
            let attributes = attributes
                .into_iter()
                .filter(|(name, _)| !["PK", "SK"].contains(&name.as_str()))
                .map(|(name, value)| (name.into(), value))
                .collect();
            let rulebook = RulebookId { name, version, digest: [3; 32].into() };
            let rules = RulesRevision { vetoes, ..RulesRevision::new("0123456789", revision_of_rules) };
            let plugins = plugins.into_iter().map(Digest::from).collect();
            let provenance = Arc::new(Provenance { rulebook, rules, plugins, state_format, dedup_rule });
            Item { revision, state, dedup, attributes, provenance, reruled }
        }
    }

    /// The size by DynamoDB's documentation.
    fn documented_size(map: &Map) -> usize {
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
        fn an_item_round_trips(item in items()) {
            let map = encode(&key(), &item);
            prop_assert_eq!(key_of(&map), Some(key()));
            let cached = decode(map).unwrap();
            prop_assert!(cached.unknown.is_empty());
            let read = cached.item.unwrap();
            prop_assert_eq!(&read, &as_read(&item));
            prop_assert_eq!(&as_read(&read), &read);
        }

        #[test]
        fn the_size_is_never_below_the_documented_one(item in items()) {
            prop_assert!(size(&key(), &item) >= documented_size(&encode(&key(), &item)));
        }
    }

    #[test]
    fn an_item_that_dynamodb_can_not_hold_is_rejected() {
        let with = |name: &str, value: Attribute| check(&key(), &item(vec![(name.into(), value)]), "GSI");
        assert_eq!(with("output", Attribute::Number(188.75)), Ok(()));
        assert_eq!(with("GSI", Attribute::Integer(3)), Ok(()));
        assert_eq!(with("output", Attribute::Number(0.0)), Ok(()));
        for (name, value, part) in [
            ("output", Attribute::Number(1e126), "1e126"),
            ("output", Attribute::Number(-1e-131), "-1e-131"),
            ("output", Attribute::Number(f64::NAN), "NaN"),
            ("GSI", Attribute::Text("3".into()), "must be a number"),
            ("@state", Attribute::Integer(1), "reserved"),
            ("PK", Attribute::Integer(1), "reserved"),
            ("", Attribute::Integer(1), "0 bytes"),
            ("big", Attribute::Blob(vec![0; MAX_ITEM_BYTES]), "the limit is 408576"),
        ] {
            let error = with(name, value).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let at = |partition: &str, sort: &str| check(&Key::new(partition, sort), &item(vec![]), "");
        assert_eq!(at(&"p".repeat(2048), &"s".repeat(1024)), Ok(()));
        for (partition, sort) in
            [("", "s"), ("p", ""), (&*"p".repeat(2049), "s"), ("p", &*"s".repeat(1025)), ("@pin/3", "s")]
        {
            assert!(at(partition, sort).is_err(), "{} / {}", partition.len(), sort.len());
        }
    }

    #[test]
    fn attributes_of_other_programs_are_kept_apart_if_unknown() {
        let mut map = encode(&key(), &item(vec![("output".into(), Attribute::Integer(1))]));
        map.insert("tags".into(), AttributeValue::Ss(vec!["a".into()]));
        map.insert("note".into(), AttributeValue::S("by hand".into()));
        let cached = decode(map).unwrap();
        assert_eq!(cached.unknown, ["tags"]);
        assert_eq!(cached.item.unwrap().attribute("note"), Some(&Attribute::Text("by hand".into())));
    }
}
