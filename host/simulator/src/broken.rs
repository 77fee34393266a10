//! Messages that are broken in every way that paceline is tested against.

/// A sort of broken message, made of a sound one.
type Kind = fn(&str) -> Vec<u8>;

/// Sorts of a hundred bytes or so.
const LIGHT: [Kind; 14] = [
    // Not JSON.
    |_| b"hello, world".to_vec(),
    // Cut.
    |sound| sound.as_bytes()[..sound.len() / 2].to_vec(),
    // Empty.
    |_| Vec::new(),
    // Invalid UTF-8.
    |sound| {
        let mut bytes = sound.as_bytes().to_vec();
        let at = sound.find(r#""name":""#).expect("every message has a name") + 8;
        bytes[at] = 0xff;
        bytes
    },
    // An array at the top.
    |sound| format!("[{sound}]").into_bytes(),
    // A number at the top.
    |_| b"42".to_vec(),
    // A field missing.
    |sound| sound.replacen(r#""cadence":"#, r#""cadense":"#, 1).into_bytes(),
    // A wrong type.
    |sound| sound.replacen(r#""second":"#, r#""second":"first","was":"#, 1).into_bytes(),
    // A number that no float can hold.
    |sound| with_last(sound, "resistance", "1e400"),
    // No number at all.
    |sound| with_last(sound, "resistance", "NaN"),
    // An integer beyond 64 bits.
    |sound| with_last(sound, "second", "99999999999999999999"),
    // A key that comes twice: the last counts, and is no number.
    |sound| with_last(sound, "cadence", r#""twice""#),
    // A class that has no rulebook.
    |sound| with_last(sound, "classId", "99"),
    // Half of a surrogate pair.
    |sound| with_last(sound, "name", r#""\ud800""#),
];

/// A payload that is as large as a stream takes it with any partition key: 1 MiB, of which a key may be 256 bytes.
const LARGEST: usize = (1 << 20) - 256;

/// Sorts that are large.
const HEAVY: [Kind; 2] = [
    // A payload of nearly 1 MiB.
    |sound| {
        let without = with_last(sound, "name", r#""""#).len();
        with_last(sound, "name", &format!(r#""{}""#, "x".repeat(LARGEST - without)))
    },
    // Nesting 100,000 deep.
    |sound| with_last(sound, "name", &format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))),
];

/// How many broken messages there are for each large one, but for the first round, which has every sort.
const LIGHT_FOR_HEAVY: u64 = 1_000;

/// The nth broken message, made of a sound one.
pub(super) fn message(sound: &[u8], nth: u64) -> Vec<u8> {
    let sound = std::str::from_utf8(sound).expect("sound messages are text");
    let kinds = LIGHT.len() as u64;
    let heavy = |nth: u64| HEAVY[nth as usize % HEAVY.len()](sound);
    match nth.checked_sub(kinds) {
        Some(nth) if nth < HEAVY.len() as u64 => heavy(nth),
        _ if nth > 0 && nth.is_multiple_of(LIGHT_FOR_HEAVY) => heavy(nth / LIGHT_FOR_HEAVY),
        _ => LIGHT[(nth % kinds) as usize](sound),
    }
}

/// The message with a member added at the end: of a key that comes twice, the last counts.
fn with_last(sound: &str, key: &str, value: &str) -> Vec<u8> {
    format!(r#"{},"{key}":{value}}}"#, &sound[..sound.len() - 1]).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_round_has_every_sort_and_none_has_a_line_break() {
        let sound = r#"{"event":"update","deviceTimestamp":1,"second":1,"raceId":131,"name":"Zoë","racerId":1,"classId":3,"cadence":62,"resistance":68.6}"#;
        let mut round: Vec<_> = (0..16).map(|nth| message(sound.as_bytes(), nth)).collect();
        assert_eq!(round[14].len(), LARGEST);
        assert!(round.iter().all(|message| !message.contains(&b'\n') && message != sound.as_bytes()));
        round.sort();
        round.dedup();
        assert_eq!(round.len(), 16);
    }
}
