//! Shortens names to what DynamoDB's keys can hold.

/// A name of at most `max_bytes` bytes. A longer one keeps its beginning and gets a hash of the whole name: the values
/// that races are pinned by come from records, and a very long one must not fail the batch. Two names with the same hash
/// would share a pin.
pub(super) fn shorten(name: &str, max_bytes: usize) -> String {
    if name.len() <= max_bytes {
        return name.to_owned();
    }
    // FNV-1a of 128 bits.
    let hash = name.bytes().fold(0x6c62272e07bb014262b821756295c58d_u128, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000000001000000000000000000013b)
    });
    let end = format!("~{}~{hash:032x}", name.len());
    let start = name.floor_char_boundary(max_bytes - end.len());
    format!("{}{end}", &name[..start])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_shortened_and_stays_distinct() {
        assert_eq!(shorten("5403307", 1023), "5403307");
        let (a, b) = (format!("{}a", "é".repeat(600)), format!("{}b", "é".repeat(600)));
        for name in [&a, &b] {
            let short = shorten(name, 1023);
            assert!(short.len() <= 1023 && short.starts_with("éé") && short.contains("~1201~"), "{short}");
        }
        assert_ne!(shorten(&a, 1023), shorten(&b, 1023));
    }
}
