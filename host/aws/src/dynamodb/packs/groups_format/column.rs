//! The values of an attribute in as few bytes as their neighbours allow.

use paceline_pipeline::model::Attribute;
use serde::{Deserialize, Serialize};

use super::frame::{Bits, BitsReader, Frame};
use super::transposed::{Rows, Transposed};

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    False,
    True,
    Integer,
    /// A number that is an integer divided by a power of ten.
    Decimal,
    /// Any other number: its eight bytes.
    Number,
    Text,
    /// A text that is a suffix of the sort key.
    SortSuffix,
    Blob,
}

/// The values of an attribute.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Column {
    kinds: Vec<Kind>,
    integers: Frame,
    /// The decimals' places, and the decimals without their points.
    places: u8,
    decimals: Frame,
    /// The lengths of suffixes of sort keys.
    suffixes: Frame,
    /// The bytes of other numbers, texts and blobs.
    rest: Transposed,
}

/// Powers of ten by which a decimal may be divided.
const POWERS: [f64; 8] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7];

/// Integers up to it are numbers without a rest: divided by a power of ten, they give the number that is nearest to the
/// decimal.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The integer that gives back the same bits if it is divided by this power of ten.
fn decimal(number: f64, power: f64) -> Option<i64> {
    let scaled = (number * power).round();
    let is_same = scaled.abs() <= EXACT && scaled / power == number;
    let is_negative_zero = number == 0.0 && number.is_sign_negative();
    (is_same && !is_negative_zero).then_some(scaled as i64)
}

/// The fewest places with which the number is a decimal.
fn places(number: f64) -> Option<usize> {
    POWERS.iter().position(|power| decimal(number, *power).is_some())
}

impl Column {
    /// Encodes the values of these groups.
    pub(super) fn of(values: &[(&Attribute, &str)], bits: &mut Bits) -> Self {
        let numbers = values.iter().filter_map(|(value, _)| match value {
            Attribute::Number(number) => places(*number),
            _ => None,
        });
        let places = numbers.max().unwrap_or(0);
        let (mut kinds, mut integers, mut decimals) = (Vec::with_capacity(values.len()), Vec::new(), Vec::new());
        let (mut suffixes, mut rest) = (Vec::new(), Rows::default());
        for (value, sort) in values {
            kinds.push(match value {
                Attribute::Boolean(false) => Kind::False,
                Attribute::Boolean(true) => Kind::True,
                Attribute::Integer(integer) => {
                    integers.push(*integer);
                    Kind::Integer
                }
                Attribute::Number(number) => match decimal(*number, POWERS[places]) {
                    Some(decimal) => {
                        decimals.push(decimal);
                        Kind::Decimal
                    }
                    None => {
                        rest.push(&number.to_le_bytes());
                        Kind::Number
                    }
                },
                Attribute::Text(text) if sort.ends_with(text) => {
                    suffixes.push(text.len() as i64);
                    Kind::SortSuffix
                }
                Attribute::Text(text) => {
                    rest.push(text.as_bytes());
                    Kind::Text
                }
                Attribute::Blob(bytes) => {
                    rest.push(bytes);
                    Kind::Blob
                }
            });
        }
        Self {
            kinds,
            integers: Frame::of(&integers, bits),
            places: places as u8,
            decimals: Frame::of(&decimals, bits),
            suffixes: Frame::of(&suffixes, bits),
            rest: Transposed::of(&rest),
        }
    }

    /// The values, of which there are so many; `None` if there are not.
    pub(super) fn values(&self, count: usize, bits: &mut BitsReader<'_>) -> Option<Values> {
        let power = *POWERS.get(usize::from(self.places))?;
        let of = |is_it: fn(Kind) -> bool| self.kinds.iter().filter(|kind| is_it(**kind)).count();
        let rest = of(|kind| matches!(kind, Kind::Number | Kind::Text | Kind::Blob));
        (self.kinds.len() == count).then_some(())?;
        Some(Values {
            integers: self.integers.integers(of(|kind| kind == Kind::Integer), bits)?.into_iter(),
            power,
            decimals: self.decimals.integers(of(|kind| kind == Kind::Decimal), bits)?.into_iter(),
            suffixes: self.suffixes.integers(of(|kind| kind == Kind::SortSuffix), bits)?.into_iter(),
            rest: self.rest.rows(rest)?.iter().map(<[u8]>::to_vec).collect::<Vec<_>>().into_iter(),
            kinds: self.kinds.clone().into_iter(),
        })
    }
}

/// A column that is read.
pub(super) struct Values {
    kinds: std::vec::IntoIter<Kind>,
    integers: std::vec::IntoIter<i64>,
    power: f64,
    decimals: std::vec::IntoIter<i64>,
    suffixes: std::vec::IntoIter<i64>,
    rest: std::vec::IntoIter<Vec<u8>>,
}

impl Values {
    /// The value of the next group, which has this sort key; `None` if it is none.
    pub(super) fn next(&mut self, sort: &str) -> Option<Attribute> {
        Some(match self.kinds.next()? {
            Kind::False => Attribute::Boolean(false),
            Kind::True => Attribute::Boolean(true),
            Kind::Integer => Attribute::Integer(self.integers.next()?),
            Kind::Decimal => Attribute::Number(self.decimals.next()? as f64 / self.power),
            Kind::Number => Attribute::Number(f64::from_le_bytes(self.rest.next()?.try_into().ok()?)),
            Kind::Text => Attribute::Text(String::from_utf8(self.rest.next()?).ok()?),
            Kind::SortSuffix => {
                let length = usize::try_from(self.suffixes.next()?).ok()?;
                Attribute::Text(sort.get(sort.len().checked_sub(length)?..)?.to_owned())
            }
            Kind::Blob => Attribute::Blob(self.rest.next()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Attribute> {
        let cents = any::<i32>().prop_map(|cents| f64::from(cents) / 100.0);
        let finite = any::<f64>().prop_filter("finite", |number| number.is_finite());
        let large = any::<i64>().prop_map(|number| number as f64 / 1e3);
        prop_oneof![
            any::<bool>().prop_map(Attribute::Boolean),
            any::<i64>().prop_map(Attribute::Integer),
            prop_oneof![cents, finite, large, Just(-0.0)].prop_map(Attribute::Number),
            "[a-z0-9]{0,4}".prop_map(Attribute::Text),
            ".{0,4}".prop_map(Attribute::Text),
            prop::collection::vec(any::<u8>(), 0..5).prop_map(Attribute::Blob),
        ]
    }

    /// Numbers by their bits: 0 and -0 are equal, and not the same.
    fn bits_of(value: &Attribute) -> String {
        match value {
            Attribute::Number(number) => format!("{:x}", number.to_bits()),
            other => format!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn values_come_back(values in prop::collection::vec((value(), "[a-z0-9]{0,3}"), 0..20)) {
            let of_groups: Vec<_> = values.iter().map(|(value, sort)| (value, sort.as_str())).collect();
            let mut bits = Bits::default();
            let column = Column::of(&of_groups, &mut bits);
            let bytes = bits.into_bytes();
            assert!(column.values(values.len() + 1, &mut BitsReader::new(&bytes)).is_none());
            let mut read = column.values(values.len(), &mut BitsReader::new(&bytes)).unwrap();
            for (value, sort) in values {
                prop_assert_eq!(read.next(&sort).as_ref().map(bits_of), Some(bits_of(&value)));
            }
            prop_assert_eq!(read.next(""), None);
        }
    }

    #[test]
    fn short_decimals_are_stored_as_integers() {
        let kinds = |numbers: &[f64]| {
            let values: Vec<Attribute> = numbers.iter().map(|number| Attribute::Number(*number)).collect();
            let of_groups: Vec<_> = values.iter().map(|value| (value, "")).collect();
            let Column { kinds, places, .. } = Column::of(&of_groups, &mut Bits::default());
            (kinds, places)
        };
        assert_eq!(kinds(&[129.592, 0.1, -3.0, 0.0]), (vec![Kind::Decimal; 4], 3));
        assert_eq!(kinds(&[-0.0, 1.0 / 3.0, f64::MAX, 5e-324]), (vec![Kind::Number; 4], 0));
        // One that has too many digits with the places of the other.
        assert_eq!(kinds(&[9e15, 0.25]), (vec![Kind::Number, Kind::Decimal], 2));
    }
}
