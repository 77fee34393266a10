//! Numbers as DynamoDB represents them: decimal texts.

use paceline_pipeline::model::Attribute;

/// The shortest decimal that parses to the same number; with an exponent instead of many zeros.
pub(super) fn number_text(number: f64) -> String {
    let magnitude = number.abs();
    if number == 0.0 {
        "0".to_owned()
    } else if (1e-5..1e17).contains(&magnitude) {
        number.to_string()
    } else {
        format!("{number:e}")
    }
}

/// Parses a number in any form: an integer if it is one of 64 bits, otherwise the nearest `f64`.
pub(super) fn parse_number(text: &str) -> Option<Attribute> {
    match parse_integer(text) {
        Some(integer) => Some(Attribute::Integer(integer)),
        None => text.parse().ok().filter(|number: &f64| number.is_finite()).map(Attribute::Number),
    }
}

/// The exact value of a decimal that is an integer of 64 bits.
fn parse_integer(text: &str) -> Option<i64> {
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
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_integer_is_parsed_from_any_form(number in any::<i64>(), zeros in 0..5_u32) {
            let scaled = number / 10_i64.pow(zeros);
            let filled = format!("{scaled}{}", "0".repeat(zeros as usize));
            for text in [format!("{scaled}e{zeros}"), format!("{scaled}.000E+{zeros}"), filled] {
                prop_assert_eq!(parse_integer(&text), Some(scaled * 10_i64.pow(zeros)), "{}", text);
            }
        }
    }

    #[test]
    fn only_integers_of_64_bits_are_parsed_as_integers() {
        for (text, expected) in
            [("0", Some(0)), ("-0.0", Some(0)), ("1.50E+1", Some(15)), ("1e-1", None), ("1e19", None)]
        {
            assert_eq!(parse_integer(text), expected, "{text}");
        }
        assert_eq!(parse_number("1.5"), Some(Attribute::Number(1.5)));
        assert_eq!(parse_number("9223372036854775808"), Some(Attribute::Number(2_f64.powi(63))));
        assert_eq!(parse_number("x"), None);
        assert_eq!(number_text(167.04), "167.04");
        assert_eq!(number_text(1e125), "1e125");
        assert_eq!(number_text(-0.0), "0");
    }
}
