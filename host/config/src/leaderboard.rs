//! How a leaderboard is read: which items, in which order, which of their attributes.

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
