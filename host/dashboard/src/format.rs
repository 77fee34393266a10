//! Figures in what people read.

/// What stands for a figure that is unknown.
pub(crate) const UNKNOWN: &str = "–";

/// An unsigned integer with commas: `1,000`.
pub(crate) fn count(number: impl ToString) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A quantity: one decimal below 10, none above.
pub(crate) fn quantity(number: f64) -> String {
    if !number.is_finite() {
        return UNKNOWN.to_owned();
    }
    let rounded = (number * 10.0).round() / 10.0;
    if rounded.abs() < 10.0 && rounded.fract() != 0.0 {
        return format!("{rounded:.1}");
    }
    let sign = if number.round() < 0.0 { "-" } else { "" };
    format!("{sign}{}", count(number.abs().round() as u64))
}

/// A duration in its two largest units: `0.4 s`, `1 min 5 s`, `2 h 14 min`, `3 d 4 h`.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return UNKNOWN.to_owned();
    }
    let seconds = seconds.max(0.0);
    if seconds < 1.0 {
        let milliseconds = (seconds * 1_000.0).round();
        return if milliseconds == 0.0 { "0 s".to_owned() } else { format!("{milliseconds} ms") };
    }
    if (seconds * 10.0).round() < 100.0 {
        return format!("{} s", quantity(seconds));
    }
    let whole = seconds.round() as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60);
    let two = |first: u64, unit: &str, second: u64, smaller: &str| match second {
        0 => format!("{} {unit}", count(first)),
        _ => format!("{} {unit} {second} {smaller}", count(first)),
    };
    match whole {
        86_400.. => two(days, "d", hours, "h"),
        3_600.. => two(hours, "h", minutes, "min"),
        60.. => two(minutes, "min", whole % 60, "s"),
        _ => format!("{whole} s"),
    }
}

/// Bytes in the largest binary unit: `170 KiB`.
pub(crate) fn bytes(number: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    if !number.is_finite() {
        return UNKNOWN.to_owned();
    }
    let (mut scaled, mut unit) = (number.max(0.0), 0);
    while scaled.round() >= 1_024.0 && unit + 1 < UNITS.len() {
        scaled /= 1_024.0;
        unit += 1;
    }
    format!("{} {}", quantity(scaled), UNITS[unit])
}

/// A share in whole per cent: `83%`. What is not nothing is not `0%`.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        _ if !percent.is_finite() => UNKNOWN.to_owned(),
        _ if percent > 0.0 && percent < 0.5 => "<1%".to_owned(),
        _ => format!("{}%", count(percent.max(0.0).round() as u64)),
    }
}

/// The moment of a timestamp to the second in UTC: `2026-11-26 18:51:00`.
pub(crate) fn moment(time: impl ToString) -> String {
    let text = time.to_string();
    text.get(..19).unwrap_or_default().replace('T', " ")
}

#[cfg(test)]
mod tests {
    use paceline_doctor::Timestamp;

    use super::*;

    #[test]
    fn a_count_has_commas() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn a_quantity_has_a_decimal_below_ten() {
        assert_eq!([0.0, 0.25, 9.96, 10.4, 998.5, -3.0].map(quantity), ["0", "0.3", "10", "10", "999", "-3"]);
        assert_eq!(quantity(f64::NAN), UNKNOWN);
    }

    #[test]
    fn a_duration_has_its_two_largest_units() {
        let shown = [0.0, 0.42, 1.0, 9.94, 9.96, 59.7, 65.0, 3_600.0, 8_040.0, 273_600.0].map(duration);
        let expected = ["0 s", "420 ms", "1 s", "9.9 s", "10 s", "1 min", "1 min 5 s", "1 h", "2 h 14 min", "3 d 4 h"];
        assert_eq!(shown, expected);
        assert_eq!(duration(-1.0), "0 s");
    }

    #[test]
    fn bytes_have_binary_units() {
        assert_eq!([0.0, 1_023.0, 174_080.0, 1_048_576.0].map(bytes), ["0 B", "1,023 B", "170 KiB", "1 MiB"]);
    }

    #[test]
    fn a_share_that_is_not_nothing_is_not_zero() {
        assert_eq!([0.0, 0.001, 0.83, 1.5].map(percent), ["0%", "<1%", "83%", "150%"]);
    }

    #[test]
    fn a_time_is_cut_to_the_second() {
        let time: Timestamp = "2026-11-26T18:51:07.250Z".parse().unwrap();
        assert_eq!(moment(time), "2026-11-26 18:51:07");
    }
}
