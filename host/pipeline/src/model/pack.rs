//! Packed groups: many groups of a partition in one item.

use std::sync::Arc;

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// An item that holds many groups of a partition. Stores that do not pay for each item written ignore it.
#[derive(Clone, Debug)]
pub struct Pack {
    /// How the rulebook packs the groups.
    pub packing: Arc<Packing>,
    number: PackNumber,
}

#[derive(Clone, Debug)]
enum PackNumber {
    Known(u16),
    /// That of this text. Its hash is computed where a store asks for the number, and not for those that do not pack.
    Of(SmolStr),
}

impl Pack {
    /// The item with this number.
    pub fn new(number: u16, packing: Arc<Packing>) -> Self {
        Self { packing, number: PackNumber::Known(number) }
    }

    /// Its number, below [`Packing::into`].
    pub fn number(&self) -> u16 {
        match &self.number {
            PackNumber::Known(number) => *number,
            PackNumber::Of(text) => self.packing.number_of(text),
        }
    }
}

/// How a rulebook packs the groups of an aggregate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Packing {
    /// How many items share the groups of a partition.
    pub into: u16,
    /// Attributes that are shown to other programs beside the shared item, each as a map by sort key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub show: Vec<String>,
    /// After so many writes of the shared item they are shown as they are then.
    #[serde(default = "each_write", skip_serializing_if = "is_each_write")]
    pub show_every: u16,
    /// A group that has this attribute gets an item of its own, and keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alone: Option<String>,
}

fn each_write() -> u16 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_each_write(show_every: &u16) -> bool {
    *show_every == each_write()
}

/// The most items that share the groups of a partition.
pub(crate) const MAX_PACKS: u16 = 1_000;

impl Packing {
    /// The item of the group whose sort key contains this text.
    pub(crate) fn pack(self: &Arc<Self>, text: &str) -> Pack {
        Pack { packing: Arc::clone(self), number: PackNumber::Of(text.into()) }
    }

    /// The number of the item of the group whose sort key contains this text.
    ///
    /// It goes by the hash that assigns records to shards: where producers use the text as their partition key, a shard's
    /// groups share few items with those of other shards, and hosts rarely write the same item.
    fn number_of(&self, text: &str) -> u16 {
        let hash: [u8; 16] = Md5::digest(text).into();
        // The upper half is enough: no packing has as many items.
        let upper = u128::from_be_bytes(hash) >> 64;
        ((upper * u128::from(self.into)) >> 64) as u16
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packing(into: u16) -> Arc<Packing> {
        Arc::new(Packing { into, show: Vec::new(), show_every: 1, alone: None })
    }

    #[test]
    fn groups_are_spread_over_all_items() {
        let packing = packing(8);
        let mut groups = [0; 8];
        (0..1_000).for_each(|racer| groups[usize::from(packing.pack(&racer.to_string()).number())] += 1);
        assert!(groups.iter().all(|groups| (90..160).contains(groups)), "{groups:?}");
    }

    proptest! {
        /// Items are ranges of the hash, as shards are: twice as many items split each one in two.
        #[test]
        fn twice_as_many_items_split_each(text in ".{0,20}", into in 1..=MAX_PACKS / 2) {
            let number = |into| packing(into).pack(&text).number();
            let (few, many) = (number(into), number(2 * into));
            prop_assert!(few < into);
            prop_assert_eq!(few, many / 2);
        }
    }
}
