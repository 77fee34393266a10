//! How a leaderboard is read: which items, in which order, which of their attributes.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeSet;

use paceline_pipeline::model::{Attribute, Item};
use serde::Deserialize;

/// How a leaderboard is read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LeaderboardConfig {
    /// The items' partition key.
    pub partition: PartitionTemplate,
    /// The attribute that orders the items, greatest first. Items without it are left out.
    pub order_by: String,
    /// The attribute that orders equal items, least first.
    pub tie: String,
    /// The attributes to show, in order.
    pub show: Vec<ShownAttribute>,
}

impl LeaderboardConfig {
    /// What is wrong with the values, which are those of this leaderboard.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.show.is_empty() {
            return Err("show is empty: name the attributes to show".to_owned());
        }
        let mut names = BTreeSet::new();
        match self.show.iter().find(|shown| !names.insert(&shown.name)) {
            None => Ok(()),
            Some(ShownAttribute { attribute, name }) => {
                Err(format!("show has the name `{name}` twice: show one under another name, \"{attribute} as NAME\""))
            }
        }
    }

    /// Whether an item is in the leaderboard.
    pub fn shows(&self, item: &Item) -> bool {
        item.attribute(&self.order_by).is_some()
    }

    /// The order of two items in the leaderboard.
    pub fn compare(&self, a: &Item, b: &Item) -> Ordering {
        let by = |name: &str| compare(a.attribute(name), b.attribute(name));
        by(&self.order_by).reverse().then_with(|| by(&self.tie))
    }
}

/// Compares numbers by value and everything else by its text. A missing attribute comes first.
fn compare(a: Option<&Attribute>, b: Option<&Attribute>) -> Ordering {
    let number = |attribute: Option<&Attribute>| match attribute {
        Some(Attribute::Integer(value)) => Some(*value as f64),
        Some(Attribute::Number(value)) => Some(*value),
        _ => None,
    };
    match (a, b) {
        (Some(Attribute::Integer(a)), Some(Attribute::Integer(b))) => a.cmp(b),
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => text(a).cmp(&text(b)),
        },
    }
}

fn text(attribute: Option<&Attribute>) -> Cow<'_, str> {
    match attribute {
        None => "".into(),
        Some(Attribute::Boolean(value)) => (if *value { "yes" } else { "no" }).into(),
        Some(Attribute::Integer(value)) => value.to_string().into(),
        Some(Attribute::Number(value)) => value.to_string().into(),
        Some(Attribute::Text(value)) => value.into(),
        Some(Attribute::Blob(bytes)) => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into(),
    }
}

/// A partition key with placeholders, such as `race-{class}-{race}`.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PartitionTemplate(Vec<Part>);

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Class,
    Race,
}

/// The text is not a partition key with placeholders.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a partition template: its placeholders are {{class}} and {{race}}")]
pub struct NotAPartitionTemplate(String);

impl TryFrom<String> for PartitionTemplate {
    type Error = NotAPartitionTemplate;

    fn try_from(text: String) -> Result<Self, NotAPartitionTemplate> {
        let (mut parts, mut rest) = (Vec::new(), text.as_str());
        while let Some((literal, after)) = rest.split_once('{') {
            let placeholder = match after.split_once('}') {
                Some(("class", _)) => Part::Class,
                Some(("race", _)) => Part::Race,
                _ => return Err(NotAPartitionTemplate(text)),
            };
            parts.extend([Part::Literal(literal.to_owned()), placeholder]);
            rest = after.split_once('}').map_or("", |(_, rest)| rest);
        }
        parts.push(Part::Literal(rest.to_owned()));
        Ok(Self(parts))
    }
}

impl PartitionTemplate {
    /// Whether a partition key is one that the template can give.
    pub fn matches(&self, partition: &str) -> bool {
        matches(&self.0, partition)
    }

    /// The partition key of a class or of a race of it; `None` if the template needs a race and there is none.
    pub fn resolve(&self, class: &str, race: Option<&str>) -> Option<String> {
        let parts = self.0.iter().map(|part| match part {
            Part::Literal(text) => Some(text.as_str()),
            Part::Class => Some(class),
            Part::Race => race,
        });
        parts.collect()
    }
}

/// Whether the parts can give this text. What stands for a placeholder is not empty.
fn matches(parts: &[Part], text: &str) -> bool {
    let Some((first, rest)) = parts.split_first() else { return text.is_empty() };
    match first {
        Part::Literal(literal) => text.strip_prefix(literal.as_str()).is_some_and(|text| matches(rest, text)),
        Part::Class | Part::Race => {
            let mut ends = text.char_indices().map(|(at, char)| at + char.len_utf8());
            ends.any(|end| matches(rest, &text[end..]))
        }
    }
}

/// An attribute of an item, and the name to show it by: `"racerId"`, or `"GSI as output"`.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct ShownAttribute {
    /// The attribute's name in the store.
    pub attribute: String,
    /// The name in the leaderboard.
    pub name: String,
}

impl From<String> for ShownAttribute {
    fn from(text: String) -> Self {
        match text.split_once(" as ") {
            Some((attribute, name)) => Self { attribute: attribute.trim().to_owned(), name: name.trim().to_owned() },
            None => Self { attribute: text.clone(), name: text },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Result<PartitionTemplate, String> {
        PartitionTemplate::try_from(text.to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn placeholders_are_replaced_and_arguments_are_not_read_as_placeholders() {
        let race = template("race-{class}-{race}").unwrap();
        assert_eq!(race.resolve("3", Some("131")).as_deref(), Some("race-3-131"));
        assert_eq!(race.resolve("{race}", Some("131")).as_deref(), Some("race-{race}-131"));
        assert_eq!(race.resolve("3", None), None);
        assert_eq!(template("class-{class}").unwrap().resolve("3", None).as_deref(), Some("class-3"));
        assert_eq!(template("all").unwrap().resolve("3", None).as_deref(), Some("all"));
    }

    #[test]
    fn a_partition_is_one_of_the_template() {
        let matches = |text: &str, partition: &str| template(text).unwrap().matches(partition);
        assert!(matches("race-{class}-{race}", "race-3-131") && matches("race-{class}-{race}", "race-a-b-c"));
        assert!(matches("class-{class}", "class-3") && matches("all", "all") && matches("{race}/é", "1/é"));
        for partition in ["class-3", "race-3", "race-3-", "race--131", "my-race-3-131"] {
            assert!(!matches("race-{class}-{race}", partition), "{partition}");
        }
        assert!(!matches("all", "all-1") && !matches("class-{class}", "class-"));
    }

    #[test]
    fn other_placeholders_are_errors() {
        for text in ["race-{}", "race-{raceId}", "race-{race"] {
            let error = template(text).unwrap_err();
            assert!(error.contains(text) && error.contains("{class} and {race}"), "{error}");
        }
    }

    #[test]
    fn an_attribute_may_be_shown_by_another_name() {
        let shown = |text: &str| ShownAttribute::from(text.to_owned());
        assert_eq!(shown("GSI as output"), ShownAttribute { attribute: "GSI".to_owned(), name: "output".to_owned() });
        assert_eq!(shown("ts"), ShownAttribute { attribute: "ts".to_owned(), name: "ts".to_owned() });
    }
}
