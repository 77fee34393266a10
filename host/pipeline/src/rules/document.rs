//! The document of a rulebook: what the race types that are mapped to it run, in TOML. It never changes once it is
//! published.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use paceline_engine::{Digest, PluginLimits, Settings};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

use super::error::{InvalidRulebook, RulebookError};
use super::template::Template;
use super::toml_error;
use crate::model::{Key, MAX_PACKS, Packing, Pointer};

/// What the race types that are mapped to it run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rulebook {
    /// The name.
    pub name: String,
    /// The version among the rulebooks of that name.
    pub version: u64,
    /// The field that identifies a race. A race keeps the rulebook that it began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pointer>,
    /// What becomes of records on which a plugin fails.
    #[serde(default, skip_serializing_if = "OnFailure::is_default")]
    pub on_failure: OnFailure,
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

/// What becomes of records on which a plugin fails, or to which it gives a score that is not finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// They become dead letters, and the others go on.
    #[default]
    DeadLetter,
    /// They and all records after them in their shard wait for another rulebook, for `hold-seconds`.
    Hold,
}

impl OnFailure {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A plugin and its settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PluginUse {
    /// A digest, or a name that is resolved to a digest when the rulebook is published.
    pub plugin: String,
    /// What the plugin's `settings` import returns.
    #[serde(default, deserialize_with = "settings", skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: Settings,
    /// What the plugin may use, where that is not what the host gives every plugin.
    #[serde(default, skip_serializing_if = "PluginLimits::is_default")]
    pub limits: PluginLimits,
}

/// An aggregator, its groups and their attributes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AggregateUse {
    /// A digest, or a name that is resolved to a digest when the rulebook is published.
    pub plugin: String,
    /// How a record that is delivered again is recognized.
    pub dedup: DedupRule,
    /// What the plugin's `settings` import returns.
    #[serde(default, deserialize_with = "settings", skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: Settings,
    /// What the plugin may use, where that is not what the host gives every plugin.
    #[serde(default, skip_serializing_if = "PluginLimits::is_default")]
    pub limits: PluginLimits,
    /// The key of a record's group.
    pub key: KeyTemplate,
    /// Other names for the plugin's outputs: `output` may be written as `GSI`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// Attributes that are written beside the plugin's outputs, from the last record folded. A template that is a single
    /// field keeps the field's type.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Template>,
    /// Only records whose fields have these values are folded.
    #[serde(default, rename = "where", skip_serializing_if = "BTreeMap::is_empty")]
    pub only: BTreeMap<Pointer, Literal>,
    /// Whether groups of a partition share items, which costs fewer write units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<Arc<Packing>>,
}

impl AggregateUse {
    /// The key of one of its groups.
    pub(crate) fn group_key(&self, partition: SmolStr, sort: SmolStr) -> Key {
        let pack = self.pack.as_ref().map(|packing| packing.pack(self.key.sort.only_field_in(&sort).unwrap_or(&sort)));
        Key { partition, sort, pack }
    }

    fn check_packing(&self) -> Result<(), InvalidRulebook> {
        let Some(packing) = &self.pack else { return Ok(()) };
        let of = |what: String| Err(InvalidRulebook::Value(format!("pack of [[aggregate]] `{}`: {what}", self.plugin)));
        if !(1..=MAX_PACKS).contains(&packing.into) {
            return of(format!("into = {}: 1 to {MAX_PACKS} items can share the groups of a partition", packing.into));
        }
        if packing.show_every == 0 {
            return of("show-every = 0: they are shown after each write, `show-every = 1`, or after more".to_owned());
        }
        if self.key.sort.fields().count() != 1 {
            return of(format!(
                "the SK {:?} must contain one field: it decides which item a group is in",
                self.key.sort
            ));
        }
        Ok(())
    }
}

/// The key of a group's item.
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

impl KeyTemplate {
    /// The fields that it contains.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &Pointer> {
        self.partition.fields().chain(self.sort.fields())
    }
}

/// How a record that is delivered again is recognized.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DedupRule {
    /// By its position in its shard: for groups whose records arrive in order from each shard.
    Sequence,
    /// By the integer in this field, which counts once in each group: for any order and any repetition.
    Ordinal(Pointer),
}

/// As items name it: `sequence`, or `ordinal /second`.
impl fmt::Display for DedupRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sequence => f.write_str("sequence"),
            Self::Ordinal(field) => write!(f, "ordinal {field}"),
        }
    }
}

/// A value to compare a field with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged, expecting = "a field is compared with a boolean, an integer or a text")]
pub enum Literal {
    /// A boolean.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A text.
    Text(String),
}

impl Rulebook {
    /// Parses and checks a rulebook.
    pub fn parse(text: &str) -> Result<Self, InvalidRulebook> {
        let document: Self = toml_error::parse(text)?;
        document.check()?;
        Ok(document)
    }

    /// The plugins that it names: validators, scorer, aggregators.
    pub(super) fn plugins(&self) -> impl Iterator<Item = &String> {
        let evaluators = self.validate.iter().chain(&self.score).map(|used| &used.plugin);
        evaluators.chain(self.aggregate.iter().map(|aggregate| &aggregate.plugin))
    }

    /// The digests of its plugins, once they are resolved.
    pub(super) fn digests(&self) -> Result<Vec<Digest>, RulebookError> {
        self.plugins().map(|plugin| digest_of(plugin)).collect()
    }

    fn check(&self) -> Result<(), InvalidRulebook> {
        let invalid = |what: String| Err(InvalidRulebook::Value(what));
        check_name(&self.name).or_else(|why| invalid(format!("name = {:?}: {why}", self.name)))?;
        if self.aggregate.is_empty() {
            return invalid("no [[aggregate]]: nothing would be written".to_owned());
        }
        for (at, aggregate) in self.aggregate.iter().enumerate() {
            let key = &aggregate.key;
            if key.partition.fields().chain(key.sort.fields()).next().is_none() {
                return invalid(format!(
                    "the key of [[aggregate]] `{}` has no field: every record would be one group",
                    aggregate.plugin
                ));
            }
            aggregate.check_packing()?;
            if self.aggregate[..at].iter().any(|other| other.key == *key) {
                return invalid(format!(
                    "two [[aggregate]] have the key PK = {:?}, SK = {:?}: each needs its own items",
                    key.partition, key.sort
                ));
            }
        }
        Ok(())
    }

    /// The same rulebook with every plugin named by its digest.
    pub fn resolved<E>(&self, mut resolve: impl FnMut(&str) -> Result<Digest, E>) -> Result<Self, E> {
        let mut document = self.clone();
        let names = document.validate.iter_mut().map(|plugin| &mut plugin.plugin);
        let names = names.chain(document.score.iter_mut().map(|plugin| &mut plugin.plugin));
        for name in names.chain(document.aggregate.iter_mut().map(|aggregate| &mut aggregate.plugin)) {
            *name = resolve(name)?.to_string();
        }
        Ok(document)
    }

    /// Its canonical text.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a rulebook has only types that TOML has")
    }
}

/// Whether a rulebook or a race type may have this name: commands, logs and keys contain it.
pub(super) fn check_name(name: &str) -> Result<(), &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match !name.is_empty() && name.len() <= 100 && name.bytes().all(plain) && !name.starts_with('.') {
        true => Ok(()),
        false => Err("a name has 1 to 100 letters, digits, `.`, `_` and `-`, and does not begin with `.`"),
    }
}

/// The digest by which a resolved rulebook names a plugin.
pub(super) fn digest_of(plugin: &str) -> Result<Digest, RulebookError> {
    plugin.parse().map_err(|error| RulebookError::MissingPlugin(format!("plugin `{plugin}`: {error}")))
}

/// Settings are texts for a plugin, but numbers and booleans need no quotes.
fn settings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Settings, D::Error> {
    let values = BTreeMap::<String, toml::Value>::deserialize(deserializer)?;
    let text = |(name, value): (String, toml::Value)| match value {
        toml::Value::String(text) => Ok((name, text)),
        toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) => {
            let text = value.to_string();
            Ok((name, text))
        }
        _ => Err(D::Error::custom(format!("setting `{name}` is not a text, a number or a boolean"))),
    };
    values.into_iter().map(text).collect()
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOK: &str = r#"
name = "flat"
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
pack = { into = 8, show = ["output"], show-every = 10, alone = "GSI" }

[[aggregate]]
plugin = "best-output"
key = { PK = "class-{/classId}", SK = "racer-{/racerId}" }
dedup = { ordinal = "/raceId" }
where = { "/event" = "final" }
"#;

    #[test]
    fn a_rulebook_survives_being_written() {
        let document = Rulebook::parse(BOOK).unwrap();
        assert_eq!((document.name.as_str(), document.version), ("flat", 7));
        assert_eq!(document.validate[0].settings["min-second"], "1");
        assert_eq!(document.aggregate[0].dedup, DedupRule::Sequence);
        let packing =
            Packing { into: 8, show: vec!["output".to_owned()], show_every: 10, alone: Some("GSI".to_owned()) };
        assert_eq!(document.aggregate[0].pack.as_deref(), Some(&packing));
        assert_eq!(document.aggregate[1].dedup, DedupRule::Ordinal(Pointer::parse("/raceId").unwrap()));
        assert_eq!(Rulebook::parse(&document.to_toml()).unwrap(), document);
    }

    #[test]
    fn a_wrong_rulebook_is_refused_with_what_is_wrong() {
        let cases = [
            ("name = \"flat\"", "name = \"../flat\"", "a name has 1 to 100 letters"),
            ("version = 7", "version = -7", "line 3"),
            ("pin = \"/raceId\"", "pin = \"raceId\"", "`raceId` is not a JSON Pointer"),
            ("plugin = \"output\"", "plugn = \"output\"", "Did you mean `plugin`?"),
            ("{/racerId}\" }\nattributes", "{/racerId\" }\nattributes", "a `{` that is never closed"),
            ("dedup = \"sequence\"", "dedup = \"seqence\"", "Did you mean `sequence`?"),
            ("dedup = \"sequence\"", "dedup = \"ordinal\"", "write `{ NAME = VALUE }` instead of `\"NAME\"`"),
            ("PK = \"class-{/classId}\"", "PK = \"race-{/raceId}\"", "two [[aggregate]] have the key"),
            ("into = 8", "into = 0", "1 to 1000 items can share"),
            ("show-every = 10", "show-every = 0", "they are shown after each write, `show-every = 1`, or after more"),
            ("{/racerId}\" }\nattributes", "{/a}{/b}\" }\nattributes", "must contain one field"),
            ("SK = \"racer-{/racerId}\" }\ndedup", "SKU = \"x\" }\ndedup", "unknown field `SKU`"),
        ];
        for (from, to, message) in cases {
            assert!(BOOK.contains(from), "{from}");
            let error = Rulebook::parse(&BOOK.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(message), "{to}: {error}");
        }
        let error = Rulebook::parse("name = \"flat\"\nversion = 1\n").unwrap_err().to_string();
        assert!(error.contains("no [[aggregate]]"), "{error}");
    }
}
