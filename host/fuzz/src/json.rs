//! JSON and base64, read in the simplest way: what decoders that are written for speed are compared with.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of a JSON object in their order, with those that come twice; `None` if the text is not an object.
pub(crate) fn members(json: &str) -> Option<Vec<(String, &RawValue)>> {
    struct Members;

    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, &'de RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }

    let mut json = serde_json::Deserializer::from_str(json);
    let members = json.deserialize_map(Members).ok()?;
    json.end().is_ok().then_some(members)
}

/// The last member of this name, if its value is not `null`.
pub(crate) fn member<'a>(members: &[(String, &'a RawValue)], name: &str) -> Option<&'a str> {
    let found = members.iter().rev().find(|(other, _)| other == name);
    found.map(|(_, value)| value.get()).filter(|value| *value != "null")
}

/// The elements of a JSON array; `None` if the text is not an array.
pub(crate) fn elements(json: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(json).ok()
}

/// The text of a JSON string; `None` if the text is not one.
pub(crate) fn string(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

/// Whether a JSON value is a number.
pub(crate) fn is_number(json: &str) -> bool {
    json.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

/// Decodes padded base64 of the standard alphabet.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let mut bytes = Vec::new();
    for group in digits.as_bytes().chunks(4) {
        let mut number = 0_u32;
        for digit in group {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            number = number << 6 | u32::from(value);
        }
        let bits = 6 * group.len() as u32;
        let unused = bits % 8;
        // One digit alone is not a byte, and bits that are not used are zero.
        if bits < 8 || number & ((1 << unused) - 1) != 0 {
            return None;
        }
        let number = number >> unused;
        bytes.extend_from_slice(&number.to_be_bytes()[4 - bits as usize / 8..]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded_as_its_rfc_describes() {
        for (text, bytes) in [("", ""), ("YQ==", "a"), ("YWI=", "ab"), ("YWJj", "abc"), ("YWJjZA==", "abcd")] {
            assert_eq!(from_base64(text).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
        for text in ["Y", "YQ", "YQ=", "YR==", "YWJ=", "====", "Y===", "YQ==YQ==", "YW-j", "YWJj\n"] {
            assert_eq!(from_base64(text), None, "{text}");
        }
    }

    #[test]
    fn members_are_in_their_order_and_may_come_twice() {
        let json = r#" {"b": 1, "a": {"c": 2}, "b": null} "#;
        let found = members(json).unwrap();
        let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.get())).collect();
        assert_eq!(found, [("b", "1"), ("a", r#"{"c": 2}"#), ("b", "null")]);
        assert_eq!(member(&members(json).unwrap(), "b"), None);
        for json in ["[]", "{} {}", "{", "1"] {
            assert!(members(json).is_none(), "{json}");
        }
    }
}
