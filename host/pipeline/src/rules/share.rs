//! Shares: parts of a whole in hundredths of a percent.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A part of a whole, in hundredths of a percent: `5%`, `0.25%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

/// The text is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a share is a percentage from 0% to 100% with at most two decimals, such as 5% or 0.25%")]
pub struct NotAShare;

impl Share {
    /// Hundredths of a percent in a whole.
    pub const WHOLE: u32 = 10_000;

    /// This many hundredths of a percent, at most the whole.
    pub const fn from_hundredths(hundredths: u32) -> Self {
        assert!(hundredths <= Self::WHOLE, "a part is at most the whole");
        Self(hundredths)
    }

    /// In hundredths of a percent.
    pub fn hundredths(self) -> u32 {
        self.0
    }

    /// As a number from 0 to 1.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / f64::from(Self::WHOLE)
    }
}

impl FromStr for Share {
    type Err = NotAShare;

    fn from_str(text: &str) -> Result<Self, NotAShare> {
        let number = text.strip_suffix('%').ok_or(NotAShare)?;
        let (percent, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(percent) || percent.len() > 3 || !digits(decimals) || decimals.len() > 2 {
            return Err(NotAShare);
        }
        let hundredths = format!("{percent}{decimals:0<2}").parse().map_err(|_| NotAShare)?;
        if hundredths > Self::WHOLE { Err(NotAShare) } else { Ok(Self(hundredths)) }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (percent, decimals) = (self.0 / 100, self.0 % 100);
        match (decimals, decimals % 10) {
            (0, _) => write!(f, "{percent}%"),
            (_, 0) => write!(f, "{percent}.{}%", decimals / 10),
            _ => write!(f, "{percent}.{decimals:02}%"),
        }
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| de::Error::custom(format!("{text:?}: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_share_has_at_most_two_decimals_and_is_at_most_the_whole() {
        assert_eq!("5%".parse(), Ok(Share(500)));
        assert_eq!("0.05%".parse(), Ok(Share(5)));
        assert_eq!("12.5%".parse(), Ok(Share(1250)));
        assert_eq!("100%".parse(), Ok(Share(10_000)));
        for text in ["", "%", "5", "100.01%", "1000%", "-1%", "+1%", "0.001%", ".5%", "5.%", "1e1%"] {
            assert_eq!(text.parse::<Share>(), Err(NotAShare), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_share_round_trips(hundredths in 0..=Share::WHOLE) {
            let share = Share(hundredths);
            prop_assert_eq!(share.to_string().parse(), Ok(share));
        }
    }
}
