//! Broken messages, of every kind that paceline is tested with.

/// Breaks a valid message.
type Break = fn(&str) -> Vec<u8>;

/// Broken messages of about a hundred bytes.
const SMALL: [Break; 14] = [
    // Not JSON.
    |_| b"hello, world".to_vec(),
    // Truncated.
    |valid| valid.as_bytes()[..valid.len() / 2].to_vec(),
    // Empty.
    |_| Vec::new(),
    // Invalid UTF-8.
    |valid| {
        let mut bytes = valid.as_bytes().to_vec();
        let at = valid.find(r#""name":""#).expect("every message has a name") + 8;
        bytes[at] = 0xff;
        bytes
    },
    // An array at the top level.
    |valid| format!("[{valid}]").into_bytes(),
    // A number at the top level.
    |_| b"42".to_vec(),
    // A missing field.
    |valid| valid.replacen(r#""cadence":"#, r#""cadense":"#, 1).into_bytes(),
    // A wrong type.
    |valid| valid.replacen(r#""second":"#, r#""second":"first","was":"#, 1).into_bytes(),
    // A number beyond the range of a float.
    |valid| with_last(valid, "resistance", "1e400"),
    // Not a number.
    |valid| with_last(valid, "resistance", "NaN"),
    // An integer beyond 64 bits.
    |valid| with_last(valid, "second", "99999999999999999999"),
    // A duplicate key, whose last value is not a number.
    |valid| with_last(valid, "cadence", r#""twice""#),
    // A class without a rulebook.
    |valid| with_last(valid, "classId", "99"),
    // Half of a surrogate pair.
    |valid| with_last(valid, "name", r#""\ud800""#),
];

/// The largest payload of a stream with any partition key: 1 MiB, of which a key may be 256 bytes.
const LARGEST: usize = (1 << 20) - 256;

/// Large broken messages.
const LARGE: [Break; 2] = [
    // A payload of nearly 1 MiB.
    |valid| {
        let without = with_last(valid, "name", r#""""#).len();
        with_last(valid, "name", &format!(r#""{}""#, "x".repeat(LARGEST - without)))
    },
    // Nesting 100,000 deep.
    |valid| with_last(valid, "name", &format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))),
];

/// The number of broken messages for each large one, after the first round, which has every kind.
const SMALL_PER_LARGE: u64 = 1_000;

/// The nth broken message, made from a valid one.
pub(super) fn message(valid: &[u8], nth: u64) -> Vec<u8> {
    let valid = std::str::from_utf8(valid).expect("a valid message is text");
    let kinds = SMALL.len() as u64;
    let large = |nth: u64| LARGE[nth as usize % LARGE.len()](valid);
    match nth.checked_sub(kinds) {
        Some(nth) if nth < LARGE.len() as u64 => large(nth),
        _ if nth > 0 && nth.is_multiple_of(SMALL_PER_LARGE) => large(nth / SMALL_PER_LARGE),
        _ => SMALL[(nth % kinds) as usize](valid),
    }
}

/// The message with a member added at the end. Duplicate keys: the last one wins.
fn with_last(valid: &str, key: &str, value: &str) -> Vec<u8> {
    format!(r#"{},"{key}":{value}}}"#, &valid[..valid.len() - 1]).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_round_has_every_kind_and_none_has_a_line_break() {
        let valid = r#"{"event":"update","deviceTimestamp":1,"second":1,"raceId":131,"name":"Zoë","racerId":1,"classId":3,"cadence":62,"resistance":68.6}"#;
        let mut round: Vec<_> = (0..16).map(|nth| message(valid.as_bytes(), nth)).collect();
        assert_eq!(round[14].len(), LARGEST);
        assert!(round.iter().all(|message| !message.contains(&b'\n') && message != valid.as_bytes()));
        round.sort();
        round.dedup();
        assert_eq!(round.len(), 16);
    }
}
