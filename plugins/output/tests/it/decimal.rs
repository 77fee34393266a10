//! Conversions between numbers and text are those of the standard library.

use paceline_plugin::decimal::{Number, nearest};
use proptest::prelude::*;

fn read(text: &str) -> Option<u64> {
    text.parse::<Number>().ok().map(|number| number.0.to_bits())
}

fn read_by_std(text: &str) -> Option<u64> {
    text.parse::<f64>().ok().map(f64::to_bits)
}

/// Any number; those of few digits; whole ones and quarters, of which two texts may be as near.
fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (any::<u32>(), -30..30_i32).prop_map(|(digits, exponent)| format!("{digits}e{exponent}").parse().unwrap()),
        (1_u64 << 48..1 << 56, 0..6_i32).prop_map(|(whole, twos)| whole as f64 / f64::from(1 << twos)),
        -1e3..1e9_f64,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn any_number_is_written_and_read_as_by_the_standard_library(number in any_number()) {
        let text = number.to_string();
        prop_assert_eq!(Number(number).to_string(), text.clone());
        prop_assert_eq!(read(&text), read_by_std(&text));
    }

    #[test]
    fn any_digits_are_read_as_by_the_standard_library(digits in any::<u64>(), cut in 0..64, exponent in -350..330_i32) {
        let digits = digits >> cut;
        let expected: f64 = format!("{digits}e{exponent}").parse().unwrap();
        prop_assert_eq!(nearest(digits, exponent).to_bits(), expected.to_bits());
    }

    #[test]
    fn any_text_is_read_as_by_the_standard_library(text in "[+-]?[0-9]{0,30}\\.?[0-9]{0,30}([eE][+-]?[0-9]{0,4})?") {
        prop_assert_eq!(read(&text), read_by_std(&text), "{}", text);
    }
}
