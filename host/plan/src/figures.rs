//! Numbers as people read them.

/// A number with as many digits as matter, and commas.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "any".to_owned();
    }
    if value >= 100.0 || value == value.trunc() {
        return thousands(value);
    }
    let text = if value >= 10.0 { format!("{value:.1}") } else { format!("{value:.2}") };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
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
    let cents = (value * 100.0).round();
    format!("{}.{:02}", thousands((cents / 100.0).trunc()), (cents % 100.0) as u32)
}

/// A time in the unit that it is read in.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        seconds if seconds < 100.0 => format!("{} s", number(seconds)),
        seconds if seconds < 6_000.0 => format!("{} min", number(seconds / 60.0)),
        seconds => format!("{} h", number(seconds / 3_600.0)),
    }
}
