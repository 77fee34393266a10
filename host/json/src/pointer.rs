//! JSON Pointers (RFC 6901) to members of objects.

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A pointer to a member of the payload: `/raceId`, `/bike/resistance`. Pointers into arrays are not supported.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pointer {
    text: Box<str>,
    members: Box<[Box<str>]>,
}

/// The text is not a JSON Pointer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a JSON Pointer: it is written `/member` or `/member/member`, with `~1` for `/` and `~0` for `~`")]
pub struct NotAPointer(String);

impl Pointer {
    /// Parses a pointer.
    pub fn parse(text: &str) -> Result<Self, NotAPointer> {
        let wrong = || NotAPointer(text.to_owned());
        let members = text.strip_prefix('/').ok_or_else(wrong)?.split('/').map(|member| {
            let mut parts = member.split('~');
            let mut unescaped = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                match part.as_bytes().first() {
                    Some(b'0') => unescaped.push('~'),
                    Some(b'1') => unescaped.push('/'),
                    _ => return Err(wrong()),
                }
                unescaped.push_str(&part[1..]);
            }
            Ok(unescaped.into_boxed_str())
        });
        Ok(Self { text: text.into(), members: members.collect::<Result<_, _>>()? })
    }

    /// The member names, outermost first.
    pub fn members(&self) -> &[Box<str>] {
        &self.members
    }

    /// The text that was parsed.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for Pointer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Serialize for Pointer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A member's name, escaped for a pointer.
pub(crate) fn escape(member: &str) -> String {
    member.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_read_as_the_rfc_says() {
        let members = |text| Pointer::parse(text).map(|pointer| pointer.members().join(" | "));
        assert_eq!(members("/raceId").unwrap(), "raceId");
        assert_eq!(members("/a/b").unwrap(), "a | b");
        assert_eq!(members("/m~0n/a~1b/").unwrap(), "m~n | a/b | ");
        assert_eq!(members("/").unwrap(), "");
        for wrong in ["", "raceId", "/a~2", "/a~"] {
            assert!(Pointer::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(escape("m~n/o"), "m~0n~1o");
    }
}
