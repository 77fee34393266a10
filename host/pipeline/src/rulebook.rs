//! Rulebooks: what a race type runs. A small TOML document, immutable once it is in use.

use std::collections::BTreeMap;

use paceline_engine::{Digest, Settings};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::pointer::Pointer;
use crate::template::Template;
use crate::toml_error;

/// What a race type runs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rulebook {
    /// The value of the routing field that it is for.
    #[serde(deserialize_with = "race_type")]
    pub race_type: String,
    /// Which of the race type's rulebooks it is: greater is newer.
    pub version: u64,
    /// The field by which a race keeps the rulebook that it started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pointer>,
    /// The validators, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validate: Vec<PluginUse>,
    /// The scorer. Without one every score is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<PluginUse>,
    /// The aggregators.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aggregate: Vec<AggregateUse>,
}

/// A plugin and what it is told.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PluginUse {
    /// A digest, or a name that is resolved to one when the rulebook is taken into use.
    pub plugin: String,
    /// What the plugin's `settings` import gives it.
    #[serde(default, deserialize_with = "settings", skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: Settings,
}

/// An aggregator, its groups and what is written of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AggregateUse {
    /// A digest, or a name that is resolved to one when the rulebook is taken into use.
    pub plugin: String,
    /// What keeps a record from being folded twice.
    pub dedup: DedupRule,
    /// What the plugin's `settings` import gives it.
    #[serde(default, deserialize_with = "settings", skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: Settings,
    /// The key of the group that a record belongs to.
    pub key: KeyTemplate,
    /// Other names for the plugin's outputs: what it calls `output` may be the table's `GSI`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// Attributes that are written beside the plugin's outputs, from the last record folded. One that is a single field
    /// keeps its type.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Template>,
    /// Only records whose fields have these values are folded; the others do not touch the group.
    #[serde(default, rename = "where", skip_serializing_if = "BTreeMap::is_empty")]
    pub only: BTreeMap<Pointer, Literal>,
}

/// The key of a group, as a table has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KeyTemplate {
    /// The partition key.
    #[serde(rename = "PK")]
    pub partition: Template,
    /// The sort key.
    #[serde(rename = "SK")]
    pub sort: Template,
}

/// What keeps a record from being folded twice.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DedupRule {
    /// Its place in its shard: for groups whose records come from each shard in order.
    Sequence,
    /// The number that this field has, once for each group: under any order and any repetition.
    Ordinal(Pointer),
}

/// A value that a field is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Literal {
    /// A boolean.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A text.
    Text(String),
}

impl Rulebook {
    /// Reads and checks a rulebook.
    pub fn parse(text: &str) -> Result<Self, String> {
        let book: Self = toml_error::parse(text)?;
        book.check()?;
        Ok(book)
    }

    fn check(&self) -> Result<(), String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if self.race_type.is_empty()
            || self.race_type.len() > 100
            || !self.race_type.bytes().all(plain)
            || self.race_type.starts_with('.')
        {
            return Err(format!(
                "race-type = {:?}: a race type has 1 to 100 letters, digits, `.`, `_` and `-`, and does not begin with `.`",
                self.race_type
            ));
        }
        if self.aggregate.is_empty() {
            return Err("no [[aggregate]]: without one nothing would be written".to_owned());
        }
        for (at, aggregate) in self.aggregate.iter().enumerate() {
            let key = &aggregate.key;
            if key.partition.fields().chain(key.sort.fields()).next().is_none() {
                return Err(format!(
                    "the key of [[aggregate]] `{}` has no field: every record of the race type would be one group",
                    aggregate.plugin
                ));
            }
            if self.aggregate[..at].iter().any(|other| other.key == *key) {
                return Err(format!(
                    "two [[aggregate]] have the key PK = {:?}, SK = {:?}: each needs items of its own",
                    key.partition, key.sort
                ));
            }
        }
        Ok(())
    }

    /// The same rulebook with every plugin named by its digest.
    pub fn resolved<E>(&self, mut resolve: impl FnMut(&str) -> Result<Digest, E>) -> Result<Self, E> {
        let mut book = self.clone();
        let names = book.validate.iter_mut().map(|plugin| &mut plugin.plugin);
        let names = names.chain(book.score.iter_mut().map(|plugin| &mut plugin.plugin));
        for name in names.chain(book.aggregate.iter_mut().map(|aggregate| &mut aggregate.plugin)) {
            *name = resolve(name)?.to_string();
        }
        Ok(book)
    }

    /// The one way to write it.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a rulebook is made of what TOML has")
    }
}

/// A race type may be written as a number, as messages have it.
fn race_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a text or an integer")]
    enum RaceType {
        Text(String),
        Integer(i64),
    }
    Ok(match RaceType::deserialize(deserializer)? {
        RaceType::Text(text) => text,
        RaceType::Integer(integer) => integer.to_string(),
    })
}

/// Settings are texts to a plugin, but a number need not be quoted.
fn settings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Settings, D::Error> {
    let values = BTreeMap::<String, toml::Value>::deserialize(deserializer)?;
    let text = |(name, value): (String, toml::Value)| match value {
        toml::Value::String(text) => Ok((name, text)),
        toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) => {
            let text = value.to_string();
            Ok((name, text))
        }
        _ => Err(D::Error::custom(format!("setting `{name}` is neither a text nor a number nor a boolean"))),
    };
    values.into_iter().map(text).collect()
}

macro_rules! as_text {
    ($type:ty) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

as_text!(Pointer);
as_text!(Template);

#[cfg(test)]
mod tests {
    use super::*;

    const BOOK: &str = r#"
race-type = "3"
version = 7
pin = "/raceId"

[[validate]]
plugin = "telemetry"
settings = { max-cadence = "90", min-second = 1 }

[score]
plugin = "output"

[[aggregate]]
plugin = "last-output"
key = { PK = "race-{/raceId}", SK = "racer-{/racerId}" }
attributes = { classId = "{/classId}" }
dedup = "sequence"

[[aggregate]]
plugin = "best-output"
key = { PK = "class-{/classId}", SK = "racer-{/racerId}" }
dedup = { ordinal = "/raceId" }
where = { "/event" = "final" }
"#;

    #[test]
    fn a_rulebook_survives_being_written() {
        let book = Rulebook::parse(BOOK).unwrap();
        assert_eq!((book.race_type.as_str(), book.version), ("3", 7));
        assert_eq!(book.validate[0].settings["min-second"], "1");
        assert_eq!(book.aggregate[0].dedup, DedupRule::Sequence);
        assert_eq!(book.aggregate[1].dedup, DedupRule::Ordinal(Pointer::parse("/raceId").unwrap()));
        assert_eq!(Rulebook::parse(&book.to_toml()).unwrap(), book);
    }

    #[test]
    fn a_wrong_rulebook_is_refused_with_what_is_wrong() {
        let cases = [
            ("race-type = \"3\"", "race-type = \"../3\"", "a race type has 1 to 100 letters"),
            ("version = 7", "version = -7", "line 3"),
            ("pin = \"/raceId\"", "pin = \"raceId\"", "`raceId` is not a JSON Pointer"),
            ("plugin = \"output\"", "plugn = \"output\"", "Did you mean `plugin`?"),
            ("{/racerId}\" }\nattributes", "{/racerId\" }\nattributes", "a `{` that is never closed"),
            ("dedup = \"sequence\"", "dedup = \"seqence\"", "Did you mean `sequence`?"),
            ("PK = \"class-{/classId}\"", "PK = \"race-{/raceId}\"", "two [[aggregate]] have the key"),
            ("SK = \"racer-{/racerId}\" }\nfence", "SKU = \"x\" }\nfence", "unknown field `SKU`"),
        ];
        for (from, to, message) in cases {
            assert!(BOOK.contains(from), "{from}");
            let error = Rulebook::parse(&BOOK.replace(from, to)).unwrap_err();
            assert!(error.contains(message), "{to}: {error}");
        }
        let error = Rulebook::parse("race-type = 3\nversion = 1\n").unwrap_err();
        assert!(error.contains("no [[aggregate]]"), "{error}");
    }
}
