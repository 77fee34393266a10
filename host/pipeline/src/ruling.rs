//! A rulebook whose plugins are loaded: what records of a race type are judged by.

use std::collections::BTreeSet;
use std::sync::Arc;

use paceline_engine::{Aggregator, Component, Digest, Field, Kind, LoadError, Role, Scorer, Validator, Value};

use crate::pointer::Pointer;
use crate::project::{Projection, FieldIndex};
use crate::rulebook::{AggregateUse, DedupRule, KeyTemplate, Literal, PluginUse, Rulebook};
use crate::store::{RESERVED_PREFIX, Provenance};
use crate::template::{Part, Template};

/// A rulebook whose plugins are loaded.
#[derive(Debug)]
pub(crate) struct LoadedRulebook {
    /// The rulebook, every plugin named by its digest.
    pub(crate) book: Rulebook,
    /// The digest of the rulebook's text.
    pub(crate) digest: Digest,
    /// The columns that the plugins read, each once.
    inputs: Vec<InputColumn>,
    pub(crate) validators: Vec<(Validator, Vec<usize>)>,
    pub(crate) scorer: Option<(Scorer, Vec<usize>)>,
    pub(crate) aggregates: Vec<LoadedAggregate>,
}

/// A column that plugins read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct InputColumn {
    pub(crate) source: InputSource,
    pub(crate) kind: Kind,
    pub(crate) default: Option<Value>,
}

/// Where a column's values come from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum InputSource {
    Field(Pointer),
    Payload,
    PartitionKey,
    ArrivalMs,
}

/// An aggregator and its groups.
#[derive(Debug)]
pub(crate) struct LoadedAggregate {
    pub(crate) aggregator: Aggregator,
    pub(crate) inputs: Vec<usize>,
    pub(crate) rule: AggregateUse,
    pub(crate) provenance: Arc<Provenance>,
    pub(crate) outputs: Vec<Arc<str>>,
}

/// Names of attributes that a store keeps for itself.
const RESERVED: [&str; 2] = ["PK", "SK"];

impl LoadedRulebook {
    /// Gives each plugin its role and settings. An error says which plugin will not do, and why.
    pub(crate) fn new(book: Rulebook, component: impl Fn(Digest) -> Option<Component>) -> Result<Self, String> {
        let find = |plugin: &str| -> Result<Component, String> {
            let digest: Digest = plugin.parse().map_err(|error| format!("plugin `{plugin}`: {error}"))?;
            component(digest).ok_or_else(|| format!("plugin {digest} is not in the registry"))
        };
        let refused = |role: Role, plugin: &str, refusal: LoadError| format!("{role} {plugin} is refused: {refusal}");
        let mut inputs = Vec::new();

        let mut validators = Vec::new();
        for PluginUse { plugin, settings } in &book.validate {
            let validator =
                find(plugin)?.validator(settings).map_err(|refusal| refused(Role::Validator, plugin, refusal))?;
            let columns = columns(&mut inputs, validator.plugin().fields())
                .map_err(|wrong| format!("{} {plugin}: {wrong}", Role::Validator))?;
            validators.push((validator, columns));
        }
        let scorer = match &book.score {
            None => None,
            Some(PluginUse { plugin, settings }) => {
                let scorer =
                    find(plugin)?.scorer(settings).map_err(|refusal| refused(Role::Scorer, plugin, refusal))?;
                let columns = columns(&mut inputs, scorer.plugin().fields())
                    .map_err(|wrong| format!("{} {plugin}: {wrong}", Role::Scorer))?;
                Some((scorer, columns))
            }
        };
        let judges: Vec<_> = validators.iter().map(|(validator, _)| validator.plugin().digest()).collect();
        let judges: Vec<_> =
            judges.into_iter().chain(scorer.iter().map(|(scorer, _)| scorer.plugin().digest())).collect();

        let mut aggregates = Vec::new();
        for rule in &book.aggregate {
            let plugin = &rule.plugin;
            let aggregator = find(plugin)?
                .aggregator(&rule.settings)
                .map_err(|refusal| refused(Role::Aggregator, plugin, refusal))?;
            let columns = columns(&mut inputs, aggregator.plugin().fields())
                .map_err(|wrong| format!("{} {plugin}: {wrong}", Role::Aggregator))?;
            let offered: Vec<&str> = aggregator.outputs().iter().map(|output| output.name.as_str()).collect();
            if let Some(unknown) = rule.outputs.keys().find(|name| !offered.contains(&name.as_str())) {
                return Err(format!(
                    "{} {plugin} has no output `{unknown}`; it has: {}",
                    Role::Aggregator,
                    offered.join(", ")
                ));
            }
            let renamed = |name: &&str| rule.outputs.get(*name).map_or(*name, String::as_str).into();
            let outputs: Vec<Arc<str>> = offered.iter().map(renamed).collect();
            let names: BTreeSet<&str> = outputs.iter().map(|name| &**name).collect();
            for name in rule.attributes.keys().map(String::as_str).chain(names.iter().copied()) {
                if RESERVED.contains(&name) {
                    return Err(format!("{} {plugin}: the attribute `{name}` is the key's", Role::Aggregator));
                }
                if name.starts_with(RESERVED_PREFIX) {
                    return Err(format!(
                        "{} {plugin}: the attribute `{name}`: names that begin with `{OWN}` are the host's own",
                        Role::Aggregator
                    ));
                }
            }
            if names.len() != outputs.len() {
                return Err(format!("{} {plugin}: `outputs` gives two outputs one name", Role::Aggregator));
            }
            if let Some(twice) = rule.attributes.keys().find(|name| names.contains(name.as_str())) {
                return Err(format!("the attribute `{twice}` is also an output of {} {plugin}", Role::Aggregator));
            }
            let plugins = judges.iter().copied().chain([aggregator.plugin().digest()]).map(|digest| *digest.as_bytes());
            let provenance = Arc::new(Provenance {
                race_type: book.race_type.clone(),
                version: book.version,
                plugins: plugins.collect(),
            });
            aggregates.push(LoadedAggregate { aggregator, inputs: columns, rule: rule.clone(), provenance, outputs });
        }
        let digest = Digest::of(book.to_toml().as_bytes());
        Ok(Self { book, digest, inputs, validators, scorer, aggregates })
    }

    /// Every pointer that it reads.
    pub(crate) fn pointers(&self) -> impl Iterator<Item = &Pointer> {
        let inputs = self.inputs.iter().filter_map(|input| match &input.source {
            InputSource::Field(pointer) => Some(pointer),
            _ => None,
        });
        let rules = self.book.aggregate.iter().flat_map(|rule| {
            let key = rule.key.partition.fields().chain(rule.key.sort.fields());
            let attributes = rule.attributes.values().flat_map(Template::fields);
            let ordinal = match &rule.dedup {
                DedupRule::Ordinal(pointer) => Some(pointer),
                DedupRule::Sequence => None,
            };
            key.chain(attributes).chain(rule.only.keys()).chain(ordinal)
        });
        inputs.chain(rules).chain(&self.book.pin)
    }

    /// Whether a race type may go over from this rulebook to another one while its stream flows, or why not.
    pub(crate) fn may_become(&self, next: &Self) -> Result<(), String> {
        if self.book.pin != next.book.pin {
            let text = |pin: &Option<Pointer>| pin.as_ref().map_or("nothing".to_owned(), |pin| format!("`{pin}`"));
            return Err(format!(
                "it pins by {}, version {} by {}: races in progress would change their rulebook",
                text(&next.book.pin),
                self.book.version,
                text(&self.book.pin)
            ));
        }
        for rule in &self.book.aggregate {
            if let Some(other) = next.book.aggregate.iter().find(|other| other.key == rule.key)
                && other.dedup != rule.dedup
            {
                return Err(format!(
                    "its groups PK = {:?}, SK = {:?} have another fence than in version {}: what is folded already could \
                     not be told",
                    rule.key.partition, rule.key.sort, self.book.version
                ));
            }
        }
        Ok(())
    }
}

/// The indexes of a plugin's fields among the needs.
fn columns(inputs: &mut Vec<InputColumn>, fields: &[Field]) -> Result<Vec<usize>, String> {
    fields
        .iter()
        .map(|field| {
            let source = match field.path.as_str() {
                "@payload" => InputSource::Payload,
                "@partition-key" => InputSource::PartitionKey,
                "@arrival-ms" => InputSource::ArrivalMs,
                path => InputSource::Field(Pointer::parse(path).map_err(|error| error.to_string())?),
            };
            let input = InputColumn { source, kind: field.kind, default: field.default.clone() };
            Ok(inputs.iter().position(|other| *other == input).unwrap_or_else(|| {
                inputs.push(input);
                inputs.len() - 1
            }))
        })
        .collect()
}

/// A ruling, and where the cells that it reads stand in a projection.
#[derive(Debug)]
pub(crate) struct BoundRulebook {
    pub(crate) rulebook: Arc<LoadedRulebook>,
    pub(crate) pin: Option<FieldIndex>,
    /// For each need its cell; nothing for the record's own values.
    pub(crate) inputs: Vec<(InputColumn, Option<FieldIndex>)>,
    pub(crate) aggregates: Vec<BoundAggregate>,
    /// Cells that keys, fences, attributes and conditions want.
    pub(crate) wanted: Vec<(FieldIndex, FieldConstraint)>,
}

/// What a cell must hold for the rulebook's own purposes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldConstraint {
    /// Part of a text: a boolean, an integer or a text. A number could be written in more than one way.
    Word,
    /// An ordinal.
    Integer,
    /// An attribute's value: anything but an array or an object.
    Scalar,
}

#[derive(Debug)]
pub(crate) struct BoundAggregate {
    pub(crate) partition: Vec<BoundPart>,
    pub(crate) sort: Vec<BoundPart>,
    pub(crate) only: Vec<(FieldIndex, Literal)>,
    pub(crate) ordinal: Option<FieldIndex>,
    pub(crate) attributes: Vec<(Arc<str>, BoundAttribute)>,
}

#[derive(Debug)]
pub(crate) enum BoundPart {
    Literal(String),
    FieldValue(FieldIndex),
}

#[derive(Debug)]
pub(crate) enum BoundAttribute {
    Value(FieldIndex),
    Text(Vec<BoundPart>),
}

impl BoundRulebook {
    pub(crate) fn new(rulebook: &Arc<LoadedRulebook>, projection: &Projection) -> Self {
        let inputs = rulebook.inputs.iter().map(|input| {
            let index = match &input.source {
                InputSource::Field(pointer) => Some(projection.index(pointer)),
                _ => None,
            };
            (input.clone(), index)
        });
        let mut wanted: Vec<(FieldIndex, FieldConstraint)> = Vec::new();
        let mut want = |index: FieldIndex, what: FieldConstraint| {
            if !wanted.contains(&(index, what)) {
                wanted.push((index, what));
            }
            index
        };
        let mut aggregates = Vec::new();
        for rule in &rulebook.book.aggregate {
            let KeyTemplate { partition, sort } = &rule.key;
            let mut words = |template: &Template| parts(template, |field| want(projection.index(field), FieldConstraint::Word));
            let (partition, sort) = (words(partition), words(sort));
            let mut attributes = Vec::new();
            for (name, template) in &rule.attributes {
                let plan = match template.sole_field() {
                    Some(pointer) => BoundAttribute::Value(want(projection.index(pointer), FieldConstraint::Scalar)),
                    None => BoundAttribute::Text(parts(template, |field| want(projection.index(field), FieldConstraint::Word))),
                };
                attributes.push((Arc::from(name.as_str()), plan));
            }
            let ordinal = match &rule.dedup {
                DedupRule::Ordinal(pointer) => Some(want(projection.index(pointer), FieldConstraint::Integer)),
                DedupRule::Sequence => None,
            };
            let only = rule
                .only
                .iter()
                .map(|(pointer, literal)| (want(projection.index(pointer), FieldConstraint::Scalar), literal.clone()));
            let only = only.collect();
            aggregates.push(BoundAggregate { partition, sort, only, ordinal, attributes });
        }
        Self {
            pin: rulebook.book.pin.as_ref().map(|pin| projection.index(pin)),
            inputs: inputs.collect(),
            rulebook: Arc::clone(rulebook),
            aggregates,
            wanted,
        }
    }
}

fn parts(template: &Template, mut index: impl FnMut(&Pointer) -> FieldIndex) -> Vec<BoundPart> {
    let part = |part: &Part| match part {
        Part::Literal(literal) => BoundPart::Literal(literal.clone()),
        Part::Field(field) => BoundPart::FieldValue(index(field)),
    };
    template.parts().iter().map(part).collect()
}
