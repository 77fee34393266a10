//! Numbers as people read them.

/// A number with as many digits as matter, and commas.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "any".to_owned();
    }
    if size >= 100.0 || value == value.trunc() {
        return thousands(value);
    }
    if size < 1e-6 {
        return format!("{value:.1e}");
    }
    let decimals = match size {
        10.0.. => 1,
        0.01.. => 2,
        // Two digits after the zeros: what is not 0 is not printed as 0.
        _ => 1 - size.log10().floor() as i32,
    };
    let text = format!("{value:.*}", decimals as usize);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A whole number with commas.
fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = if value < 0.0 && digits != "0" { "-".to_owned() } else { String::new() };
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(crate) fn percent(part: f64) -> String {
    if part.is_finite() { thousands(part * 100.0) } else { "any".to_owned() }
}

pub(crate) fn dollars(value: f64) -> String {
    if !value.is_finite() {
        return "any".to_owned();
    }
    let cents = (value.abs() * 100.0).round();
    let sign = if value < 0.0 && cents > 0.0 { "-" } else { "" };
    format!("{sign}{}.{:02}", thousands((cents / 100.0).trunc()), (cents % 100.0) as u32)
}

/// A time in the unit that it is read in.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        // A whole number of milliseconds, unless that would be none.
        seconds if seconds.abs() < 5e-4 => format!("{} ms", number(seconds * 1e3)),
        seconds if seconds < 0.9995 => format!("{:.0} ms", seconds * 1e3),
        seconds if seconds < 100.0 => format!("{} s", number(seconds)),
        seconds if seconds < 6_000.0 => format!("{} min", number(seconds / 60.0)),
        seconds => format!("{} h", number(seconds / 3_600.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas_and_the_digits_that_matter() {
        let texts = [0.0, 0.000_12, 0.034, 0.7, 1.0, 12.34, 99.96, 1_234.5, 1e9].map(number);
        assert_eq!(texts, ["0", "0.00012", "0.03", "0.7", "1", "12.3", "100", "1,234", "1,000,000,000"]);
        assert_eq!(number(3e-9), "3.0e-9");
        assert_eq!([f64::INFINITY, f64::NAN].map(number), ["any", "any"]);
        assert_eq!([0.000_02, 0.05, 0.9999, 3.0, 7_200.0].map(duration), ["0.02 ms", "50 ms", "1 s", "3 s", "2 h"]);
    }

    #[test]
    fn negative_numbers_have_their_sign_before_the_digits() {
        assert_eq!([-619.0, -1_941_341.16, -0.4, -12.34].map(number), ["-619", "-1,941,341", "-0.4", "-12.3"]);
        assert_eq!([-619.0, -1_234.567, -0.001].map(dollars), ["-619.00", "-1,234.57", "0.00"]);
        assert_eq!([f64::NAN, f64::INFINITY].map(dollars), ["any", "any"]);
        assert_eq!(percent(-0.5), "-50");
    }
}
