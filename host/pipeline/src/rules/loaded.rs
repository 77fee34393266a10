//! A rulebook whose plugins are loaded.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;

use paceline_engine::{
    Aggregator, Component, Digest, Field, Kind, LoadError, Plugin, PluginLimits, Role, Scorer, Validator, Value,
};
use smol_str::SmolStr;

use super::document::{AggregateUse, DedupRule, Rulebook, digest_of};
use super::error::RulebookError;
use super::routing::StateFormats;
use super::template::Template;
use crate::model::{NotAPointer, Pointer, RESERVED_PREFIX, RulebookId};

/// A rulebook whose plugins are loaded.
#[derive(Debug)]
pub(crate) struct LoadedRulebook {
    /// The document, with every plugin named by its digest.
    pub(crate) document: Rulebook,
    pub(crate) id: RulebookId,
    /// The number of the last batch that was routed to it, among those of the process. Those that were not used for long
    /// are dropped. Hosts that share it mark it together.
    pub(super) last_used: AtomicU64,
    /// The columns that the plugins read, each once.
    pub(crate) inputs: Vec<InputColumn>,
    /// The validators, each with the indexes of its columns in `inputs`.
    pub(crate) validators: Vec<(Validator, Vec<usize>)>,
    /// The scorer with the indexes of its columns in `inputs`.
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

impl InputColumn {
    /// The column of a field that a plugin declares.
    pub(crate) fn of(field: &Field) -> Result<Self, NotAPointer> {
        let source = match field.path.as_str() {
            "@payload" => InputSource::Payload,
            "@partition-key" => InputSource::PartitionKey,
            "@arrival-ms" => InputSource::ArrivalMs,
            path => InputSource::Field(Pointer::parse(path)?),
        };
        Ok(Self { source, kind: field.kind, default: field.default.clone() })
    }

    /// The member of the payload that it is, if it is one.
    pub(crate) fn pointer(&self) -> Option<&Pointer> {
        match &self.source {
            InputSource::Field(pointer) => Some(pointer),
            _ => None,
        }
    }
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
    /// The indexes of its columns in [`LoadedRulebook::inputs`].
    pub(crate) inputs: Vec<usize>,
    pub(crate) rule: AggregateUse,
    /// Digests of the plugins that make its items: validators, scorer, and itself.
    pub(crate) plugins: Vec<Digest>,
    /// The names under which its outputs are written, in the aggregator's order.
    pub(crate) outputs: Vec<SmolStr>,
}

/// Names of attributes that belong to the key.
const KEY_ATTRIBUTES: [&str; 2] = ["PK", "SK"];

impl LoadedRulebook {
    /// Gives each plugin its role and settings. An error names the plugin that is refused, and why.
    pub(crate) fn new(
        document: Rulebook,
        component: impl Fn(Digest) -> Option<Component>,
    ) -> Result<Self, RulebookError> {
        let find = |plugin: &str, limits: &PluginLimits, role: Role| -> Result<Component, RulebookError> {
            let digest = digest_of(plugin)?;
            let missing = || RulebookError::MissingPlugin(format!("plugin {digest} is not in the registry"));
            component(digest).ok_or_else(missing)?.with_limits(limits).map_err(refused(role, plugin))
        };
        let mut inputs = Vec::new();
        let mut evaluators: Vec<Digest> = Vec::new();

        let mut validators = Vec::new();
        for used in &document.validate {
            let refused = refused(Role::Validator, &used.plugin);
            let validator =
                find(&used.plugin, &used.limits, Role::Validator)?.validator(&used.settings).map_err(refused)?;
            let columns = columns(&mut inputs, validator.plugin(), Role::Validator)?;
            evaluators.push(validator.plugin().digest());
            validators.push((validator, columns));
        }
        let mut scorer = None;
        if let Some(used) = &document.score {
            let refused = refused(Role::Scorer, &used.plugin);
            let loaded = find(&used.plugin, &used.limits, Role::Scorer)?.scorer(&used.settings).map_err(refused)?;
            let columns = columns(&mut inputs, loaded.plugin(), Role::Scorer)?;
            evaluators.push(loaded.plugin().digest());
            scorer = Some((loaded, columns));
        }
        let mut aggregates = Vec::new();
        for rule in &document.aggregate {
            let refused = refused(Role::Aggregator, &rule.plugin);
            let aggregator =
                find(&rule.plugin, &rule.limits, Role::Aggregator)?.aggregator(&rule.settings).map_err(refused)?;
            let columns = columns(&mut inputs, aggregator.plugin(), Role::Aggregator)?;
            let outputs = outputs(rule, &aggregator)?;
            let plugins = evaluators.iter().copied().chain([aggregator.plugin().digest()]);
            let plugins = plugins.collect();
            aggregates.push(LoadedAggregate { aggregator, inputs: columns, rule: rule.clone(), plugins, outputs });
        }
        let digest = Digest::of(document.to_toml().as_bytes());
        let id = RulebookId { name: document.name.clone(), version: document.version, digest };
        Ok(Self { document, id, last_used: AtomicU64::new(0), inputs, validators, scorer, aggregates })
    }

    /// Checks that each plugin asks for the settings that it has.
    pub(crate) fn check_settings(&self) -> Result<(), RulebookError> {
        let check =
            |role, plugin: &Plugin| plugin.check_settings().map_err(refused(role, &plugin.digest().to_string()));
        self.validators.iter().try_for_each(|(validator, _)| check(Role::Validator, validator.plugin()))?;
        self.scorer.iter().try_for_each(|(scorer, _)| check(Role::Scorer, scorer.plugin()))?;
        self.aggregates.iter().try_for_each(|rule| check(Role::Aggregator, rule.aggregator.plugin()))
    }

    /// Every pointer that it reads.
    pub(crate) fn pointers(&self) -> impl Iterator<Item = &Pointer> {
        let inputs = self.inputs.iter().filter_map(|input| match &input.source {
            InputSource::Field(pointer) => Some(pointer),
            _ => None,
        });
        let rules = self.document.aggregate.iter().flat_map(|rule| {
            let key = rule.key.partition.fields().chain(rule.key.sort.fields());
            let attributes = rule.attributes.values().flat_map(Template::fields);
            let ordinal = match &rule.dedup {
                DedupRule::Ordinal(pointer) => Some(pointer),
                DedupRule::Sequence => None,
            };
            key.chain(attributes).chain(rule.only.keys()).chain(ordinal)
        });
        inputs.chain(rules).chain(&self.document.pin)
    }

    /// The state formats of its aggregators, in order.
    pub(crate) fn formats(&self) -> Vec<StateFormats> {
        let formats = |aggregate: &LoadedAggregate| StateFormats {
            writes: aggregate.aggregator.state_format().to_owned(),
            takes: aggregate.aggregator.migrates_from().to_vec(),
        };
        self.aggregates.iter().map(formats).collect()
    }
}

fn refused(role: Role, plugin: &str) -> impl FnOnce(LoadError) -> RulebookError {
    move |source| RulebookError::Plugin { plugin: format!("{role} {plugin}"), source }
}

/// The indexes of a plugin's fields among the inputs. Fields that no other plugin reads become inputs.
fn columns(inputs: &mut Vec<InputColumn>, plugin: &Plugin, role: Role) -> Result<Vec<usize>, RulebookError> {
    let column = |field: &Field| {
        let mismatch = |error| RulebookError::Mismatch(format!("{role} {}: {error}", plugin.digest()));
        let input = InputColumn::of(field).map_err(mismatch)?;
        Ok(inputs.iter().position(|other| *other == input).unwrap_or_else(|| {
            inputs.push(input);
            inputs.len() - 1
        }))
    };
    plugin.fields().iter().map(column).collect()
}

/// The names under which an aggregator's outputs are written, or what is wrong with the rulebook's names.
fn outputs(rule: &AggregateUse, aggregator: &Aggregator) -> Result<Vec<SmolStr>, RulebookError> {
    let mismatch = |what: String| Err(RulebookError::Mismatch(what));
    let (role, plugin) = (Role::Aggregator, &rule.plugin);
    let offered: Vec<&str> = aggregator.outputs().iter().map(|output| output.name.as_str()).collect();
    if let Some(unknown) = rule.outputs.keys().find(|name| !offered.contains(&name.as_str())) {
        return mismatch(format!("{role} {plugin} has no output `{unknown}`; it has: {}", offered.join(", ")));
    }
    let renamed = |name: &&str| rule.outputs.get(*name).map_or(*name, String::as_str).into();
    let outputs: Vec<SmolStr> = offered.iter().map(renamed).collect();
    let names: BTreeSet<&str> = outputs.iter().map(|name| &**name).collect();
    for name in rule.attributes.keys().map(String::as_str).chain(names.iter().copied()) {
        if KEY_ATTRIBUTES.contains(&name) {
            return mismatch(format!("{role} {plugin}: the attribute `{name}` belongs to the key"));
        }
        if name.starts_with(RESERVED_PREFIX) {
            return mismatch(format!(
                "{role} {plugin}: the attribute `{name}`: names that begin with `{RESERVED_PREFIX}` are reserved for \
                 the host"
            ));
        }
    }
    if names.len() != outputs.len() {
        return mismatch(format!("{role} {plugin}: `outputs` gives two outputs one name"));
    }
    if let Some(twice) = rule.attributes.keys().find(|name| names.contains(name.as_str())) {
        return mismatch(format!("the attribute `{twice}` is also an output of {role} {plugin}"));
    }
    let packing = rule.pack.iter().flat_map(|packing| packing.show.iter().chain(&packing.alone));
    let is_written = |name: &str| names.contains(name) || rule.attributes.contains_key(name);
    match packing.into_iter().find(|name| !is_written(name)) {
        Some(unknown) => {
            let written: Vec<&str> = rule.attributes.keys().map(String::as_str).chain(names.iter().copied()).collect();
            let written = written.join(", ");
            mismatch(format!(
                "`pack` names the attribute `{unknown}`, which the items of {role} {plugin} do not have: {written}"
            ))
        }
        None => Ok(outputs),
    }
}
