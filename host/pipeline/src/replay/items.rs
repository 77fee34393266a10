//! What differs group by group: the attributes of items.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::distribution::Distribution;
use crate::model::{Attribute, Item, Key};

/// A group's items.
#[derive(Clone, Debug)]
pub struct ItemPair {
    /// The group.
    pub key: Key,
    /// The item by the rulebook, if it makes one.
    pub rules: Option<Item>,
    /// The item by what it is compared with, if there is one.
    pub against: Option<Item>,
}

/// What differs group by group.
#[derive(Clone, Debug, Default)]
pub struct ItemDifferences {
    /// Groups whose items have equal attributes.
    pub equal: u64,
    /// Groups whose items differ.
    pub different: u64,
    /// Groups that only the rulebook has.
    pub only_rules: u64,
    /// Groups that only the other one has.
    pub only_against: u64,
    /// The attributes that differ, by name.
    pub attributes: BTreeMap<String, AttributeDifferences>,
    /// The first groups whose items differ, by key.
    pub first: Vec<ItemDifference>,
}

/// The differences of an attribute.
#[derive(Clone, Debug, Default)]
pub struct AttributeDifferences {
    /// Items in which it differs, or that only one of the two gives it.
    pub different: u64,
    /// Of the numbers among these: the rulebook's less the other one's.
    pub differences: Distribution,
}

/// A group whose items differ.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemDifference {
    /// The group.
    pub key: Key,
    /// The attributes that differ: the name, the other one's value, the rulebook's value.
    pub attributes: Vec<(String, Option<Attribute>, Option<Attribute>)>,
}

/// Pairs items that are sorted by key.
pub(super) fn join(rules: Vec<(Key, Item)>, against: Vec<(Key, Item)>) -> Vec<ItemPair> {
    let mut pairs = Vec::with_capacity(rules.len().max(against.len()));
    let (mut rules, mut against) = (rules.into_iter().peekable(), against.into_iter().peekable());
    loop {
        let order = match (rules.peek(), against.peek()) {
            (None, None) => return pairs,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
        };
        let ours = if order.is_le() { rules.next() } else { None };
        let theirs = if order.is_ge() { against.next() } else { None };
        let (key, rules, against) = match (ours, theirs) {
            (Some((key, ours)), theirs) => (key, Some(ours), theirs.map(|(_, item)| item)),
            (None, Some((key, theirs))) => (key, None, Some(theirs)),
            (None, None) => return pairs,
        };
        pairs.push(ItemPair { key, rules, against });
    }
}

impl ItemDifferences {
    pub(super) fn of(pairs: &[ItemPair], listed: usize) -> Self {
        let mut differences = Self::default();
        for ItemPair { key, rules, against } in pairs {
            let (Some(rules), Some(against)) = (rules, against) else {
                *(if rules.is_some() { &mut differences.only_rules } else { &mut differences.only_against }) += 1;
                continue;
            };
            let attributes = differing(rules, against);
            if attributes.is_empty() {
                differences.equal += 1;
                continue;
            }
            differences.different += 1;
            for (name, theirs, ours) in &attributes {
                let attribute = differences.attributes.entry(name.clone()).or_default();
                attribute.different += 1;
                if let (Some(theirs), Some(ours)) = (number(theirs.as_ref()), number(ours.as_ref())) {
                    attribute.differences.add(ours - theirs);
                }
            }
            if differences.first.len() < listed {
                differences.first.push(ItemDifference { key: key.clone(), attributes });
            }
        }
        differences
    }
}

/// The attributes that differ, by name.
fn differing(rules: &Item, against: &Item) -> Vec<(String, Option<Attribute>, Option<Attribute>)> {
    let names: BTreeSet<&str> = rules.attributes.iter().chain(&against.attributes).map(|(name, _)| &**name).collect();
    let values = names.into_iter().map(|name| (name, against.attribute(name), rules.attribute(name)));
    let different = values.filter(|(_, theirs, ours)| !is_equal(*theirs, *ours));
    different.map(|(name, theirs, ours)| (name.to_owned(), theirs.cloned(), ours.cloned())).collect()
}

/// Whether two values are equal. DynamoDB has one type of number.
fn is_equal(a: Option<&Attribute>, b: Option<&Attribute>) -> bool {
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

fn number(attribute: Option<&Attribute>) -> Option<f64> {
    match attribute? {
        Attribute::Integer(value) => Some(*value as f64),
        Attribute::Number(value) => Some(*value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dedup::{DedupState, OrdinalSet};
    use crate::model::test_provenance;

    fn item(attributes: &[(&str, Attribute)]) -> Item {
        Item {
            revision: 1,
            state: Vec::new(),
            dedup: DedupState::Ordinal(OrdinalSet::default()),
            attributes: attributes.iter().map(|(name, value)| ((*name).into(), value.clone())).collect(),
            provenance: test_provenance(),
            reruled: false,
        }
    }

    fn key(sort: u8) -> Key {
        Key::new("race-1", format!("racer-{sort}"))
    }

    #[test]
    fn attributes_are_compared_by_name_and_numbers_by_value() {
        let ours = item(&[("output", Attribute::Number(8.0)), ("second", Attribute::Integer(3))]);
        let theirs = item(&[("second", Attribute::Number(3.0)), ("output", Attribute::Number(6.5))]);
        let gone = item(&[]);
        let pair = |sort, rules: &Item, against: &Item| ItemPair {
            key: key(sort),
            rules: Some(rules.clone()),
            against: Some(against.clone()),
        };
        let mut pairs = vec![pair(1, &ours, &theirs), pair(2, &ours, &ours), pair(3, &gone, &ours)];
        pairs.push(ItemPair { key: key(4), rules: None, against: Some(gone) });
        let found = ItemDifferences::of(&pairs, 1);
        assert_eq!((found.equal, found.different, found.only_rules, found.only_against), (1, 2, 0, 1));
        assert_eq!(found.attributes["output"].different, 2);
        assert_eq!(found.attributes["output"].differences.figures().unwrap().max, 1.5);
        let (before, after) = (Some(Attribute::Number(6.5)), Some(Attribute::Number(8.0)));
        let attributes = vec![("output".to_owned(), before, after)];
        assert_eq!(found.first, [ItemDifference { key: key(1), attributes }]);
    }

    proptest! {
        /// Every key of either side is in one pair, with the items of both sides.
        #[test]
        fn each_key_is_paired_once(ours in prop::collection::btree_set(0..20_u8, 0..12), theirs in prop::collection::btree_set(0..20_u8, 0..12)) {
            let items = |keys: &BTreeSet<u8>| {
                let mut items: Vec<(Key, Item)> = keys.iter().map(|sort| (key(*sort), item(&[]))).collect();
                items.sort_by(|(a, _), (b, _)| a.cmp(b));
                items
            };
            let pairs = join(items(&ours), items(&theirs));
            let found: BTreeMap<&Key, (bool, bool)> =
                pairs.iter().map(|pair| (&pair.key, (pair.rules.is_some(), pair.against.is_some()))).collect();
            prop_assert_eq!(found.len(), pairs.len());
            for sort in 0..20 {
                let expected = (ours.contains(&sort), theirs.contains(&sort));
                prop_assert_eq!(found.get(&key(sort)).copied().unwrap_or_default(), expected);
            }
        }
    }
}
