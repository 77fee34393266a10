//! Numbers that a template parses itself are those that the standard library reads, to the bit.

use paceline_json::FieldValue;
use proptest::prelude::*;

use crate::support::{Field, projection, read_both_ways};

/// Reads numbers as a field, each but the first by a template. Those that a template does not parse itself are read by
/// serde_json, which the comparison within [`read_both_ways`] covers.
#[track_caller]
fn are_read_as_by_the_standard_library(numbers: &[String]) {
    let payloads = ["0"].into_iter().chain(numbers.iter().map(String::as_str));
    let payloads: Vec<Vec<u8>> = payloads.map(|number| format!(r#"{{"a":{number}}}"#).into_bytes()).collect();
    let (outcomes, by_template) = read_both_ways(&projection(&["/a"]), &payloads);
    assert_eq!(by_template, numbers.len());
    for (number, outcome) in numbers.iter().zip(&outcomes[1..]) {
        let expected = match number.parse::<i64>() {
            Ok(integer) => Field::Integer(integer),
            Err(_) => match FieldValue::of_f64(number.parse().unwrap()) {
                FieldValue::Integer(integer) => Field::Integer(integer),
                FieldValue::Number(number) => Field::Number(number.to_bits()),
                other => panic!("{other:?}"),
            },
        };
        assert_eq!(outcome, &Ok(vec![expected]), "{number}");
    }
}

/// A number's digits with a point among them.
fn written(digits: u64, decimals: usize, is_negative: bool) -> String {
    let sign = if is_negative { "-" } else { "" };
    let digits = format!("{digits:0width$}", width = decimals + 1);
    let (whole, fraction) = digits.split_at(digits.len() - decimals);
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

#[test]
fn numbers_of_every_length_are_read() {
    let mut numbers = Vec::new();
    for digits in 0..20 {
        for decimals in 0..20 {
            for first in [1_u64, 9] {
                let digits = (1..digits).fold(first, |number, digit| number.wrapping_mul(10).wrapping_add(digit % 10));
                numbers.push(written(digits, decimals, false));
                numbers.push(written(digits, decimals, true));
            }
        }
    }
    are_read_as_by_the_standard_library(&numbers);
}

#[test]
fn numbers_at_the_edges_are_read() {
    let edges =
        [1_u64 << 52, 1 << 53, 1 << 54, 1 << 59, 10_u64.pow(15), 10_u64.pow(16), 10_u64.pow(17), 10_u64.pow(18)];
    let mut numbers = Vec::new();
    for edge in edges {
        for digits in edge - 40..edge + 40 {
            (0..19).for_each(|decimals| numbers.push(written(digits, decimals, digits % 2 == 0)));
        }
    }
    are_read_as_by_the_standard_library(&numbers);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn decimals_of_up_to_eighteen_digits_are_read(
        numbers in prop::collection::vec((1_u32..=18, any::<u64>(), 0_usize..=18, any::<bool>()), 100),
    ) {
        let number = |(length, digits, decimals, is_negative): (u32, u64, usize, bool)| {
            written(digits % 10_u64.pow(length), decimals, is_negative)
        };
        are_read_as_by_the_standard_library(&numbers.into_iter().map(number).collect::<Vec<_>>());
    }

    /// The shortest texts of numbers, as JavaScript, Python and Rust write them.
    #[test]
    fn the_shortest_texts_of_numbers_are_read(numbers in prop::collection::vec(0.0..100_000_000.0_f64, 100)) {
        are_read_as_by_the_standard_library(&numbers.into_iter().map(|number| number.to_string()).collect::<Vec<_>>());
    }

    /// Halfway between two numbers of 64 bits, and one unit of the last digit beside.
    #[test]
    fn numbers_between_two_neighbours_are_read(
        numbers in prop::collection::vec(((1_u64 << 52)..(1 << 53), 0_u32..6, -1_i64..=1), 100),
    ) {
        let number = |(fraction, halvings, beside): (u64, u32, i64)| {
            // (2 × fraction + 1) / 2^(halvings + 1), of which the decimals are exact.
            let scale = 5_u128.pow(halvings + 1);
            let digits = (2 * u128::from(fraction) + 1) * scale;
            let digits = digits.checked_add_signed(beside.into()).unwrap();
            let width = halvings as usize + 2;
            let digits = format!("{digits:0width$}");
            let (whole, decimals) = digits.split_at(digits.len() - (halvings as usize + 1));
            format!("{whole}.{decimals}")
        };
        are_read_as_by_the_standard_library(&numbers.into_iter().map(number).collect::<Vec<_>>());
    }
}
