//! The query of a request.

use crate::status::RaceKey;

/// A longer value is no class and no race: the longest pinned value has 256 bytes.
const MAX_VALUE_BYTES: usize = 256;

/// The race that a query chooses: `class=3&race=5403307`, or `class=3`.
pub(crate) fn race(query: Option<&str>) -> Option<RaceKey> {
    let value = |name| value(query?, name);
    Some(RaceKey { class: value("class")?, race: value("race") })
}

/// The value of a parameter; `None` if it is missing, empty, too long or not UTF-8.
pub(crate) fn value(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, encoded) = pairs.find(|(other, _)| *other == name)?;
    let text = decode(&encoded.replace('+', " "))?;
    (!text.is_empty() && text.len() <= MAX_VALUE_BYTES).then_some(text)
}

/// A text with its escapes replaced; `None` if they are broken or the text is not UTF-8.
pub(crate) fn decode(encoded: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        let decoded = match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        };
        bytes.push(decoded);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_chooses_a_race_or_a_class() {
        let key = |class: &str, race: Option<&str>| RaceKey { class: class.to_owned(), race: race.map(str::to_owned) };
        assert_eq!(race(Some("class=3&race=5403307")), Some(key("3", Some("5403307"))));
        assert_eq!(race(Some("x=1&class=a%20b%2Bc+d")), Some(key("a b+c d", None)));
        assert_eq!([race(None), race(Some("race=1")), race(Some("class="))], [None, None, None]);
    }

    #[test]
    fn broken_escapes_are_nothing() {
        assert_eq!(["%", "%4", "%zz", "%ff"].map(decode), [const { None }; 4]);
        assert_eq!(decode("%C3%a9"), Some("é".to_owned()));
    }
}
