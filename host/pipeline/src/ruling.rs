//! A rulebook whose plugins are loaded: what records of a race type are judged by.

use std::collections::BTreeSet;
use std::sync::Arc;

use paceline_engine::{Aggregator, Component, Digest, Field, Kind, Refusal, Role, Scorer, Validator, Value};

use crate::pointer::Pointer;
use crate::project::{Projection, Slot};
use crate::rulebook::{AggregateUse, FenceRule, KeyTemplate, Literal, PluginUse, Rulebook};
use crate::store::{OWN, Provenance};
use crate::template::{Part, Template};

/// A rulebook whose plugins are loaded.
#[derive(Debug)]
pub(crate) struct Ruling {
    /// The rulebook, every plugin named by its digest.
    pub(crate) book: Rulebook,
    /// The digest of the rulebook's text.
    pub(crate) digest: Digest,
    /// The columns that the plugins read, each once.
    needs: Vec<Need>,
    pub(crate) validators: Vec<(Validator, Vec<usize>)>,
    pub(crate) scorer: Option<(Scorer, Vec<usize>)>,
    pub(crate) aggregates: Vec<Aggregate>,
}

/// A column that plugins read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Need {
    pub(crate) source: Source,
    pub(crate) kind: Kind,
    pub(crate) default: Option<Value>,
}

/// Where a column's values come from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    Field(Pointer),
    Payload,
    PartitionKey,
    ArrivalMs,
}

/// An aggregator and its groups.
#[derive(Debug)]
pub(crate) struct Aggregate {
    pub(crate) aggregator: Aggregator,
    pub(crate) needs: Vec<usize>,
    pub(crate) rule: AggregateUse,
    pub(crate) provenance: Arc<Provenance>,
    pub(crate) outputs: Vec<Arc<str>>,
}

/// Names of attributes that a store keeps for itself.
const RESERVED: [&str; 2] = ["PK", "SK"];

impl Ruling {
    /// Gives each plugin its role and settings. An error says which plugin will not do, and why.
    pub(crate) fn new(book: Rulebook, component: impl Fn(Digest) -> Option<Component>) -> Result<Self, String> {
        let find = |plugin: &str| -> Result<Component, String> {
            let digest: Digest = plugin.parse().map_err(|error| format!("plugin `{plugin}`: {error}"))?;
            component(digest).ok_or_else(|| format!("plugin {digest} is not in the registry"))
        };
        let refused = |role: Role, plugin: &str, refusal: Refusal| format!("{role} {plugin} is refused: {refusal}");
        let mut needs = Vec::new();

        let mut validators = Vec::new();
        for PluginUse { plugin, settings } in &book.validate {
            let validator =
                find(plugin)?.validator(settings).map_err(|refusal| refused(Role::Validator, plugin, refusal))?;
            let columns = columns(&mut needs, validator.plugin().fields())
                .map_err(|wrong| format!("{} {plugin}: {wrong}", Role::Validator))?;
            validators.push((validator, columns));
        }
        let scorer = match &book.score {
            None => None,
            Some(PluginUse { plugin, settings }) => {
                let scorer =
                    find(plugin)?.scorer(settings).map_err(|refusal| refused(Role::Scorer, plugin, refusal))?;
                let columns = columns(&mut needs, scorer.plugin().fields())
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
            let columns = columns(&mut needs, aggregator.plugin().fields())
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
                if name.starts_with(OWN) {
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
            aggregates.push(Aggregate { aggregator, needs: columns, rule: rule.clone(), provenance, outputs });
        }
        let digest = Digest::of(book.to_toml().as_bytes());
        Ok(Self { book, digest, needs, validators, scorer, aggregates })
    }

    /// Every pointer that it reads.
    pub(crate) fn pointers(&self) -> impl Iterator<Item = &Pointer> {
        let needs = self.needs.iter().filter_map(|need| match &need.source {
            Source::Field(pointer) => Some(pointer),
            _ => None,
        });
        let rules = self.book.aggregate.iter().flat_map(|rule| {
            let key = rule.key.partition.fields().chain(rule.key.sort.fields());
            let attributes = rule.attributes.values().flat_map(Template::fields);
            let ordinal = match &rule.fence {
                FenceRule::Ordinal(pointer) => Some(pointer),
                FenceRule::Sequence => None,
            };
            key.chain(attributes).chain(rule.only.keys()).chain(ordinal)
        });
        needs.chain(rules).chain(&self.book.pin)
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
                && other.fence != rule.fence
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
fn columns(needs: &mut Vec<Need>, fields: &[Field]) -> Result<Vec<usize>, String> {
    fields
        .iter()
        .map(|field| {
            let source = match field.path.as_str() {
                "@payload" => Source::Payload,
                "@partition-key" => Source::PartitionKey,
                "@arrival-ms" => Source::ArrivalMs,
                path => Source::Field(Pointer::parse(path).map_err(|error| error.to_string())?),
            };
            let need = Need { source, kind: field.kind, default: field.default.clone() };
            Ok(needs.iter().position(|other| *other == need).unwrap_or_else(|| {
                needs.push(need);
                needs.len() - 1
            }))
        })
        .collect()
}

/// A ruling, and where the cells that it reads stand in a projection.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) ruling: Arc<Ruling>,
    pub(crate) pin: Option<Slot>,
    /// For each need its cell; nothing for the record's own values.
    pub(crate) needs: Vec<(Need, Option<Slot>)>,
    pub(crate) aggregates: Vec<AggregatePlan>,
    /// Cells that keys, fences, attributes and conditions want.
    pub(crate) wanted: Vec<(Slot, Wanted)>,
}

/// What a cell must hold for the rulebook's own purposes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Part of a text: a boolean, an integer or a text. A number could be written in more than one way.
    Word,
    /// An ordinal.
    Integer,
    /// An attribute's value: anything but an array or an object.
    Scalar,
}

#[derive(Debug)]
pub(crate) struct AggregatePlan {
    pub(crate) partition: Vec<PartPlan>,
    pub(crate) sort: Vec<PartPlan>,
    pub(crate) only: Vec<(Slot, Literal)>,
    pub(crate) ordinal: Option<Slot>,
    pub(crate) attributes: Vec<(Arc<str>, AttributePlan)>,
}

#[derive(Debug)]
pub(crate) enum PartPlan {
    Literal(String),
    Cell(Slot),
}

#[derive(Debug)]
pub(crate) enum AttributePlan {
    Value(Slot),
    Text(Vec<PartPlan>),
}

impl Plan {
    pub(crate) fn new(ruling: &Arc<Ruling>, projection: &Projection) -> Self {
        let needs = ruling.needs.iter().map(|need| {
            let slot = match &need.source {
                Source::Field(pointer) => Some(projection.slot(pointer)),
                _ => None,
            };
            (need.clone(), slot)
        });
        let mut wanted: Vec<(Slot, Wanted)> = Vec::new();
        let mut want = |slot: Slot, what: Wanted| {
            if !wanted.contains(&(slot, what)) {
                wanted.push((slot, what));
            }
            slot
        };
        let mut aggregates = Vec::new();
        for rule in &ruling.book.aggregate {
            let KeyTemplate { partition, sort } = &rule.key;
            let mut words = |template: &Template| parts(template, |field| want(projection.slot(field), Wanted::Word));
            let (partition, sort) = (words(partition), words(sort));
            let mut attributes = Vec::new();
            for (name, template) in &rule.attributes {
                let plan = match template.sole_field() {
                    Some(pointer) => AttributePlan::Value(want(projection.slot(pointer), Wanted::Scalar)),
                    None => AttributePlan::Text(parts(template, |field| want(projection.slot(field), Wanted::Word))),
                };
                attributes.push((Arc::from(name.as_str()), plan));
            }
            let ordinal = match &rule.fence {
                FenceRule::Ordinal(pointer) => Some(want(projection.slot(pointer), Wanted::Integer)),
                FenceRule::Sequence => None,
            };
            let only = rule
                .only
                .iter()
                .map(|(pointer, literal)| (want(projection.slot(pointer), Wanted::Scalar), literal.clone()));
            let only = only.collect();
            aggregates.push(AggregatePlan { partition, sort, only, ordinal, attributes });
        }
        Self {
            pin: ruling.book.pin.as_ref().map(|pin| projection.slot(pin)),
            needs: needs.collect(),
            ruling: Arc::clone(ruling),
            aggregates,
            wanted,
        }
    }
}

fn parts(template: &Template, mut slot: impl FnMut(&Pointer) -> Slot) -> Vec<PartPlan> {
    let part = |part: &Part| match part {
        Part::Literal(literal) => PartPlan::Literal(literal.clone()),
        Part::Field(field) => PartPlan::Cell(slot(field)),
    };
    template.parts().iter().map(part).collect()
}
