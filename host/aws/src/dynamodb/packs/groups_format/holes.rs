//! Numbers that a group's attributes and its state have both.
//!
//! An aggregator's outputs are computed from its state, and are often in it: a number as its eight bytes, an integer in as
//! many as it needs, which is how plugins in Rust encode their states. The last ordinal of a dedup state is often such an
//! integer, too. Bytes that an attribute has are taken out, and their places are noted, so that they are stored once. What
//! a state means is not known here, and need not be: the bytes are put back where they were.

use std::ops::Deref;

use paceline_pipeline::model::Attribute;
use smallvec::SmallVec;

/// Numbers of fewer bytes are anywhere by chance. They are taken only from where the neighbours have them, too.
const LONG: usize = 3;

/// Numbers are looked for where they begin in so many bytes.
const SEARCHED: usize = 256;

/// So many places of a number are noted.
const MOST_PLACES: usize = 4;

/// The bytes in which a state may have an attribute.
#[derive(Clone, Copy)]
struct Number {
    bytes: [u8; 10],
    length: usize,
}

impl Number {
    fn of(value: &Attribute) -> Option<Self> {
        let mut bytes = [0; 10];
        let length = match value {
            Attribute::Number(number) => {
                bytes[..8].copy_from_slice(&number.to_le_bytes());
                8
            }
            // It has up to 64 bits, of which 7 are in a byte.
            Attribute::Integer(integer) => postcard::to_slice(integer, &mut bytes).map_or(0, |bytes| bytes.len()),
            Attribute::Boolean(_) | Attribute::Text(_) | Attribute::Blob(_) => return None,
        };
        Some(Self { bytes, length })
    }
}

impl Deref for Number {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

type Places = SmallVec<[u32; MOST_PLACES]>;

/// Takes numbers out of the bytes of groups that have the same attributes.
#[derive(Default)]
pub(super) struct Hollow {
    /// For each attribute that is a number, the places that the groups before have. `None` before the first group.
    usual: Option<Vec<Places>>,
}

impl Hollow {
    /// Appends what is left of a group's bytes without the numbers of its attributes. For each of these, notes the places plus
    /// one, and a 0.
    pub(super) fn take_out<'v>(
        &mut self,
        bytes: &[u8],
        values: impl Iterator<Item = &'v Attribute>,
        notes: &mut Vec<u32>,
        left: &mut Vec<u8>,
    ) {
        let mut taken: SmallVec<[(usize, usize); 16]> = SmallVec::new();
        let is_first = self.usual.is_none();
        let usual = self.usual.get_or_insert_default();
        for (nth, number) in values.filter_map(Number::of).enumerate() {
            let mut take = |place: usize| {
                let end = place + number.len();
                let is_free = taken.iter().all(|(from, to)| end <= *from || *to <= place);
                let is_there = is_free && bytes.get(place..end) == Some(&*number);
                if is_there {
                    taken.push((place, end));
                }
                is_there
            };
            // Notes that repeat cost next to nothing, so a place that only one group has by chance is not looked at again.
            if usual.len() <= nth {
                usual.push(Places::new());
            }
            let places = &mut usual[nth];
            places.retain(|place| take(*place as usize));
            if places.is_empty() && (is_first || number.len() >= LONG) {
                let most = if is_first { MOST_PLACES } else { 1 };
                places
                    .extend((0..bytes.len().min(SEARCHED)).filter(|place| take(*place)).take(most).map(|at| at as u32));
            }
            notes.extend(places.iter().map(|place| place + 1));
            notes.push(0);
        }
        taken.sort_unstable();
        let mut from = 0;
        for (place, end) in taken {
            left.extend_from_slice(&bytes[from..place]);
            from = end;
        }
        left.extend_from_slice(&bytes[from..]);
    }
}

/// Puts the numbers of a group's attributes back; `None` if the notes do not fit.
pub(super) fn put_back<'v, 'n>(
    left: &[u8],
    values: impl Iterator<Item = &'v Attribute>,
    notes: &mut impl Iterator<Item = &'n u32>,
) -> Option<Vec<u8>> {
    let mut taken: SmallVec<[(usize, Number); 16]> = SmallVec::new();
    for number in values.filter_map(Number::of) {
        let before = taken.len();
        while let Some(place) = notes.next()?.checked_sub(1) {
            taken.push((place as usize, number));
            if taken.len() - before > MOST_PLACES {
                return None;
            }
        }
    }
    taken.sort_unstable_by_key(|(place, _)| *place);
    let mut bytes = Vec::with_capacity(left.len() + taken.iter().map(|(_, number)| number.len()).sum::<usize>());
    let mut rest = left;
    for (place, number) in &taken {
        let (between, after) = rest.split_at_checked(place.checked_sub(bytes.len())?)?;
        bytes.extend_from_slice(between);
        bytes.extend_from_slice(number);
        rest = after;
    }
    bytes.extend_from_slice(rest);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number() -> impl Strategy<Value = Attribute> {
        // Few different ones, so that states have some of them, twice and across each other's ends.
        let numbers = prop_oneof![Just(0.0), Just(1.5), Just(2.0), Just(f64::from_bits(0x0101_0101_0101_0101))];
        let integers = prop_oneof![Just(0), Just(-1_i64 << 40), Just(0x0101_0101), Just(i64::MIN), -3..3_i64];
        prop_oneof![
            numbers.prop_map(Attribute::Number),
            integers.prop_map(Attribute::Integer),
            Just(Attribute::Text("1".to_owned())),
        ]
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            number().prop_map(|value| Number::of(&value).map(|number| number.to_vec()).unwrap_or_default()),
            prop::collection::vec(0..3_u8, 0..9),
            prop::collection::vec(any::<u8>(), 0..SEARCHED),
        ];
        prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
    }

    fn take_out(hollow: &mut Hollow, bytes: &[u8], values: &[Attribute], notes: &mut Vec<u32>) -> Vec<u8> {
        let mut left = Vec::new();
        hollow.take_out(bytes, values.iter(), notes, &mut left);
        left
    }

    proptest! {
        #[test]
        fn bytes_come_back(rows in prop::collection::vec((bytes(), prop::collection::vec(number(), 0..5)), 1..6)) {
            let (mut hollow, mut notes) = (Hollow::default(), Vec::new());
            let taken: Vec<Vec<u8>> =
                rows.iter().map(|(bytes, values)| take_out(&mut hollow, bytes, values, &mut notes)).collect();
            let mut notes = notes.iter();
            for ((bytes, values), left) in rows.into_iter().zip(taken) {
                prop_assert_eq!(put_back(&left, values.iter(), &mut notes), Some(bytes));
            }
            prop_assert_eq!(notes.next(), None);
        }
    }

    #[test]
    fn a_number_is_stored_once() {
        let (mut hollow, mut notes) = (Hollow::default(), Vec::new());
        for (output, second) in [(129.592_f64, 20), (1.5, 21), (2.5, 22)] {
            let encoded = 2 * second as u8;
            let bytes = [&[9, encoded, 8, 40][..], &output.to_le_bytes(), &[encoded]].concat();
            let values = [Attribute::Number(output), Attribute::Integer(second)];
            let left = take_out(&mut hollow, &bytes, &values, &mut notes);
            // In the first group, the 40 is there by chance.
            assert_eq!(left, if second == 20 { vec![9, 8] } else { vec![9, 8, 40] });
        }
        assert_eq!(notes, [5, 0, 2, 4, 13, 0, 5, 0, 2, 13, 0, 5, 0, 2, 13, 0]);
    }

    #[test]
    fn notes_that_do_not_fit_are_refused() {
        let value = [Attribute::Number(1.0)];
        let put_back = |notes: &[u32]| put_back(&[1], value.iter(), &mut notes.iter());
        assert_eq!(put_back(&[3, 0]), None, "beyond the end");
        assert_eq!(put_back(&[1, 2, 0]), None, "across each other");
        assert_eq!(put_back(&[2]), None, "without an end");
        assert_eq!(put_back(&[1, 9, 17, 25, 33, 0]), None, "too many");
        assert_eq!(put_back(&[2, 0]).unwrap().len(), 9);
    }
}
