//! Numbers as people read them.

/// An integer with separators, or one decimal below 10.
pub(crate) fn number(value: f64) -> String {
    if value.abs() < 9.95 && (value - value.round()).abs() >= 0.05 {
        return format!("{value:.1}");
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if value <= -0.5 { format!("-{text}") } else { text }
}

/// A share, 0 to 1, as a percentage.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        it if it > 0.0 && it < 0.05 => "less than 0.1 %".to_owned(),
        it if it > 0.0 && it < 0.95 => format!("{it:.1} %"),
        it => format!("{} %", number(it.round())),
    }
}

/// A time in its two largest units.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round();
    let (days, hours, minutes) = ((whole / 86_400.0).floor(), (whole / 3_600.0).floor(), (whole / 60.0).floor());
    let pair = |large: f64, unit: &str, rest: f64, small: &str| match rest {
        0.0 => format!("{} {unit}", number(large)),
        rest => format!("{} {unit} {} {small}", number(large), number(rest)),
    };
    if days >= 1.0 {
        pair(days, "d", hours % 24.0, "h")
    } else if hours >= 1.0 {
        pair(hours, "h", minutes % 60.0, "min")
    } else if minutes >= 1.0 {
        pair(minutes, "min", whole % 60.0, "s")
    } else {
        format!("{} s", number(seconds.max(0.0)))
    }
}

/// Bytes in the largest unit that fits.
pub(crate) fn bytes(value: f64) -> String {
    match value {
        it if it >= 1_048_576.0 => format!("{} MB", number(it / 1_048_576.0)),
        it if it >= 1_024.0 => format!("{} KB", number(it / 1_024.0)),
        it => format!("{} B", number(it)),
    }
}

/// A number with its noun: `1 shard`, `2 shards`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", number(count as f64))
}

/// Dollars, for prices a month.
pub(crate) fn dollars(value: f64) -> String {
    match value {
        it if it >= 9.95 => format!("${}", number(it)),
        it if it >= 1.0 => format!("${it:.2}"),
        it => format!("${}", format!("{it:.3}").trim_end_matches('0')),
    }
}
