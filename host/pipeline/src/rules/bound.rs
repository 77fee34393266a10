//! A loaded rulebook bound to the fields of a projection.

use std::sync::Arc;

use paceline_json::Projection;
use smol_str::SmolStr;

use super::document::{DedupRule, KeyTemplate, Literal, OnFailure};
use super::loaded::{InputColumn, InputSource, LoadedRulebook};
use super::template::{Part, Template};
use crate::model::{Batch, FieldIndex, FieldValue, Item, Pointer, ProjectedRows, Provenance, RulesRevision};

/// A loaded rulebook, and the indexes of the fields that it reads in a projection.
#[derive(Debug)]
pub(crate) struct BoundRulebook {
    pub(crate) rulebook: Arc<LoadedRulebook>,
    pub(crate) pin: Option<FieldIndex>,
    /// Whether records on which its plugins fail wait. Those of a canary don't: it is taken back.
    pub(crate) holds_failures: bool,
    /// Each input column with its field. Record attributes such as the partition key have none.
    pub(crate) inputs: Vec<(InputColumn, Option<FieldIndex>)>,
    pub(crate) aggregates: Vec<BoundAggregate>,
    /// Whether the dedup of all aggregates recognizes a record that comes again in another place.
    pub(crate) absorbs_repetitions: bool,
    /// What keys, dedup, attributes and conditions need of fields.
    pub(crate) constraints: Vec<(FieldIndex, FieldConstraint)>,
}

/// What the rulebook itself needs of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldConstraint {
    /// Part of a text: a boolean, an integer or a text. Other numbers have more than one spelling.
    Word,
    /// An ordinal.
    Integer,
    /// The value of an attribute: anything but an array or an object.
    Scalar,
}

#[derive(Debug)]
pub(crate) struct BoundAggregate {
    pub(crate) partition: Vec<BoundPart>,
    pub(crate) sort: Vec<BoundPart>,
    pub(crate) only: Vec<(FieldIndex, Literal)>,
    pub(crate) ordinal: Option<FieldIndex>,
    pub(crate) attributes: Vec<(SmolStr, BoundAttribute)>,
    /// What its items name as their origin.
    pub(crate) provenance: Arc<Provenance>,
    /// Whether each of its groups belongs to one race: its key contains the pinned field.
    pub(crate) is_of_one_race: bool,
}

impl BoundAggregate {
    /// Whether an item that follows this one holds records of one race that several rulebooks evaluated.
    pub(crate) fn is_reruled_after(&self, before: Option<&Item>) -> bool {
        before.is_some_and(|item| {
            let theirs = item.provenance.rulebook.digest;
            item.reruled || self.is_of_one_race && theirs != self.provenance.rulebook.digest
        })
    }
}

#[derive(Debug)]
pub(crate) enum BoundPart {
    Literal(String),
    Field(FieldIndex),
}

#[derive(Debug)]
pub(crate) enum BoundAttribute {
    Value(FieldIndex),
    Text(Vec<BoundPart>),
}

impl BoundRulebook {
    /// Binds a rulebook, for batches that are evaluated under this revision of the rules.
    pub(crate) fn new(rulebook: &Arc<LoadedRulebook>, projection: &Projection, at: &RulesRevision) -> Self {
        let inputs = rulebook.inputs.iter().map(|input| {
            let field = match &input.source {
                InputSource::Field(pointer) => Some(projection.field(pointer)),
                _ => None,
            };
            (input.clone(), field)
        });
        let mut constraints: Vec<(FieldIndex, FieldConstraint)> = Vec::new();
        let mut constrain = |pointer: &Pointer, constraint: FieldConstraint| {
            let field = projection.field(pointer);
            if !constraints.contains(&(field, constraint)) {
                constraints.push((field, constraint));
            }
            field
        };
        let mut aggregates = Vec::new();
        for loaded in &rulebook.aggregates {
            let rule = &loaded.rule;
            let KeyTemplate { partition, sort } = &rule.key;
            let mut words = |template: &Template| parts(template, |pointer| constrain(pointer, FieldConstraint::Word));
            let (partition, sort) = (words(partition), words(sort));
            let mut attributes = Vec::new();
            for (name, template) in &rule.attributes {
                let attribute = match template.sole_field() {
                    Some(pointer) => BoundAttribute::Value(constrain(pointer, FieldConstraint::Scalar)),
                    None => BoundAttribute::Text(parts(template, |pointer| constrain(pointer, FieldConstraint::Word))),
                };
                attributes.push((SmolStr::new(name), attribute));
            }
            let ordinal = match &rule.dedup {
                DedupRule::Ordinal(pointer) => Some(constrain(pointer, FieldConstraint::Integer)),
                DedupRule::Sequence => None,
            };
            let only = rule.only.iter();
            let only = only.map(|(pointer, literal)| (constrain(pointer, FieldConstraint::Scalar), literal.clone()));
            let only = only.collect();
            let provenance = Arc::new(Provenance {
                rulebook: rulebook.id.clone(),
                rules: at.clone(),
                plugins: loaded.plugins.clone(),
                state_format: loaded.aggregator.state_format().to_owned(),
                dedup_rule: rule.dedup.to_string(),
            });
            let pin = rulebook.document.pin.as_ref();
            let is_of_one_race = pin.is_some_and(|pin| rule.key.fields().any(|field| field == pin));
            aggregates.push(BoundAggregate { partition, sort, only, ordinal, attributes, provenance, is_of_one_race });
        }
        Self {
            holds_failures: rulebook.document.on_failure == OnFailure::Hold,
            pin: rulebook.document.pin.as_ref().map(|pin| projection.field(pin)),
            inputs: inputs.collect(),
            rulebook: Arc::clone(rulebook),
            aggregates,
            absorbs_repetitions: rulebook
                .aggregates
                .iter()
                .all(|aggregate| matches!(aggregate.rule.dedup, DedupRule::Ordinal(_))),
            constraints,
        }
    }
}

impl BoundPart {
    /// Appends what the template gives for a record.
    pub(crate) fn render(into: &mut String, parts: &[Self], batch: &Batch, rows: &ProjectedRows, record: u32) {
        for part in parts {
            match part {
                Self::Literal(literal) => into.push_str(literal),
                Self::Field(field) => {
                    rows.write_word(into, batch, rows.get(record, *field));
                }
            }
        }
    }
}

impl Literal {
    /// Whether a field has this value.
    pub(crate) fn equals(&self, batch: &Batch, rows: &ProjectedRows, value: FieldValue) -> bool {
        match self {
            Self::Boolean(literal) => value == FieldValue::Boolean(*literal),
            Self::Integer(literal) => value == FieldValue::Integer(*literal),
            Self::Text(literal) => rows.text(batch, value) == Some(literal.as_bytes()),
        }
    }
}

fn parts(template: &Template, mut field: impl FnMut(&Pointer) -> FieldIndex) -> Vec<BoundPart> {
    let part = |part: &Part| match part {
        Part::Literal(literal) => BoundPart::Literal(literal.clone()),
        Part::Field(pointer) => BoundPart::Field(field(pointer)),
    };
    template.parts().iter().map(part).collect()
}
