//! Figures as a person reads them from the page.

/// A figure that was read, and half of its last place: the value behind it may differ by as much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read {
    value: f64,
    precision: f64,
}

/// The units of durations in seconds, and those of bytes.
const UNITS: [(&str, f64); 11] = [
    ("ms", 0.001),
    ("s", 1.0),
    ("min", 60.0),
    ("h", 3_600.0),
    ("d", 86_400.0),
    ("B", 1.0),
    ("KiB", 1_024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("TiB", 1_099_511_627_776.0),
    ("%", 0.01),
];

/// Reads `1,040`, `5 min 12 s`, `173 KiB` or `91%`; `None` for a dash.
pub(crate) fn read(text: &str) -> Option<Read> {
    let text = text.trim().replace(',', "").replace('%', " %");
    if text == "–" || text.is_empty() {
        return None;
    }
    if text == "<1 %" {
        return Some(Read { value: 0.0025, precision: 0.0025 });
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut read = Read { value: 0.0, precision: 0.0 };
    for pair in words.chunks(2) {
        let unit = match pair {
            [_, unit] => UNITS.iter().find(|(name, _)| name == unit).unwrap_or_else(|| panic!("`{text}`: {unit}?")).1,
            _ => 1.0,
        };
        let number: f64 = pair[0].parse().unwrap_or_else(|error| panic!("`{text}`: {error}"));
        read.value += number * unit;
        // The smaller of two units is cut, not rounded. What is below 10 has a decimal, unless it is 0.
        let place = if words.len() > 2 {
            2.0
        } else if number < 10.0 && !pair.contains(&"%") {
            0.1
        } else {
            1.0
        };
        read.precision = place * unit / 2.0;
    }
    Some(read)
}

/// Whether the text shows the value.
pub(crate) fn shows(text: &str, value: Option<f64>) -> bool {
    match (read(text), value) {
        (None, None) => true,
        (Some(read), Some(value)) => (read.value - value).abs() <= read.precision * 1.000_001,
        _ => false,
    }
}

#[test]
fn a_figure_is_read_with_its_precision() {
    assert!(shows("5 min 12 s", Some(312.4)) && !shows("5 min 12 s", Some(314.0)));
    assert!(shows("1,040", Some(1_040.4)) && !shows("1,040", Some(1_041.0)));
    assert!(shows("173 KiB", Some(177_000.0)) && !shows("173 KiB", Some(178_000.0)));
    assert!(shows("91%", Some(0.913)) && shows("<1%", Some(0.001)) && !shows("91%", Some(0.92)));
    assert!(shows("–", None) && !shows("–", Some(0.0)) && !shows("0", None));
}
