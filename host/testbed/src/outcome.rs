//! The races that tests run, and the outcome that every run must have: rulebooks, messages, and a run of one process
//! into memory, with which other runs are compared.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use paceline_pipeline::dedup::{DedupState, LastPositions};
use paceline_pipeline::model::{Attribute, Batch, BatchLimits, DeadLetter, Item, Key, Provenance, RulesRevision};
use paceline_pipeline::store::{MemoryStore, Store};
use paceline_pipeline::summary::Summary;
use paceline_pipeline::{Pipeline, RetryPolicy};
use paceline_simulator::{Messages, PartitionKey, Race};
use serde_json::Value;

pub use crate::block_on::block_on;
use crate::rules;

/// The records of a batch in a local run.
const LOCAL_BATCH: usize = 10_000;

/// How duplicates are recognised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DedupMode {
    /// By the last position folded, for each shard.
    Sequence,
    /// By the value of a field, `/second`.
    Ordinal,
}

/// The rulebook of class 3.
pub fn rulebook(dedup: DedupMode) -> String {
    let dedup = |field: &str| match dedup {
        DedupMode::Sequence => r#""sequence""#.to_owned(),
        DedupMode::Ordinal => format!(r#"{{ ordinal = "{field}" }}"#),
    };
    format!(
        r#"
name = "class-3"
version = 1
pin = "/raceId"

[[validate]]
plugin = "telemetry"

[score]
plugin = "output"

[[aggregate]]
plugin = "last-output"
key = {{ PK = "race-{{/raceId}}", SK = "racer-{{/racerId}}" }}
outputs = {{ final = "GSI" }}
attributes = {{ classId = "{{/classId}}", racerId = "{{/racerId}}" }}
dedup = {}

[[aggregate]]
plugin = "best-output"
where = {{ "/event" = "final" }}
key = {{ PK = "class-{{/classId}}", SK = "racer-{{/racerId}}" }}
outputs = {{ output = "GSI" }}
attributes = {{ racerId = "{{/racerId}}" }}
dedup = {}
"#,
        dedup("/second"),
        dedup("/raceId")
    )
}

/// An aggregate, for the end of a rulebook, that counts the records of each racer: an item of `last-output` or
/// `best-output` does not show that a record was folded twice. A rulebook may contain it once for each mode.
pub fn tally(dedup: DedupMode) -> String {
    let (name, dedup) = match dedup {
        DedupMode::Sequence => ("sequence", r#""sequence""#),
        DedupMode::Ordinal => ("ordinal", r#"{ ordinal = "/second" }"#),
    };
    format!(
        r#"
[[aggregate]]
plugin = "evil-aggregator"
key = {{ PK = "tally-by-{name}-{{/raceId}}", SK = "racer-{{/racerId}}" }}
dedup = {dedup}
"#
    )
}

/// The outcome of these messages in one process, with the rulebooks in a folder. `scratch` is a folder for this run
/// only.
///
/// # Panics
///
/// If a rulebook is rejected, or a batch is not committed.
pub fn local(rulebooks: &Path, scratch: &Path, messages: &[Message]) -> Outcome {
    let (rulebooks, _) = rules::open(rulebooks, scratch);
    let pipeline = Pipeline::new(MemoryStore::default(), rulebooks, BatchLimits::default(), RetryPolicy::default());
    let mut summary = Summary::default();
    for (number, chunk) in messages.chunks(LOCAL_BATCH).enumerate() {
        let mut batch = Batch::new("local".into());
        for (index, message) in chunk.iter().enumerate() {
            batch.push(&message.payload, ((number * LOCAL_BATCH + index) as u64).into());
        }
        assert!(block_on(pipeline.process(&batch, None, &mut summary)).unwrap().first_uncommitted.is_none());
    }
    Outcome::of(pipeline.store())
}

/// What every correct run stores: the items without their revisions and dedup positions, which depend on the order of
/// the records, and the payloads of the dead letters with their causes.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The items.
    pub items: BTreeMap<Key, Item>,
    /// The first 200 characters of each dead letter's payload, and its cause; sorted.
    pub dead_letters: Vec<(String, String)>,
}

impl Outcome {
    /// The outcome in a store.
    ///
    /// # Panics
    ///
    /// If the store can't be read.
    pub fn of(store: &impl Store) -> Self {
        let (items, letters) =
            block_on(async { (store.list_groups().await.unwrap(), store.list_dead_letters().await.unwrap()) });
        let mut dead_letters: Vec<_> = letters.iter().map(beginning_and_cause).collect();
        dead_letters.sort();
        Self { items: items.into_iter().map(|(key, item)| (key, without_order(item))).collect(), dead_letters }
    }

    /// The number of records that [`tally`] has counted, over all modes.
    pub fn tallied(&self) -> u64 {
        let count = |item: &Item| match item.attribute("count") {
            Some(Attribute::Number(count)) => *count as u64,
            _ => 0,
        };
        self.items.iter().filter(|(key, _)| key.partition.starts_with("tally-")).map(|(_, item)| count(item)).sum()
    }

    /// Whether as many records are counted, and as many dead letters stored, as in another outcome: the run is
    /// complete. [`must_be`](Self::must_be) then finds what is too much.
    pub fn reaches(&self, other: &Self) -> bool {
        self.tallied() >= other.tallied() && self.dead_letters.len() >= other.dead_letters.len()
    }

    /// Asserts that two outcomes are equal; the message names the first difference.
    ///
    /// # Panics
    ///
    /// If they are not.
    #[track_caller]
    pub fn must_be(&self, expected: &Self, run: &str) {
        for (key, item) in &expected.items {
            assert_eq!(self.items.get(key), Some(item), "{run}: {key}");
        }
        let unexpected: Vec<_> = self.items.keys().filter(|key| !expected.items.contains_key(key)).collect();
        assert!(unexpected.is_empty(), "{run}: unexpected items: {unexpected:?}");
        for (actual, expected) in self.dead_letters.iter().zip(&expected.dead_letters) {
            assert_eq!(actual, expected, "{run}: dead letters");
        }
        assert_eq!(self.dead_letters.len(), expected.dead_letters.len(), "{run}: the number of dead letters");
    }
}

/// An item without what depends on the order of the records.
fn without_order(item: Item) -> Item {
    let mut attributes = item.attributes;
    // DynamoDB has one type of number.
    for (_, value) in &mut attributes {
        if let Attribute::Integer(integer) = value {
            *value = Attribute::Number(*integer as f64);
        }
    }
    attributes.sort_by(|(a, _), (b, _)| a.cmp(b));
    let dedup = match item.dedup {
        // The shard of a record is random; which ordinals were folded is not.
        DedupState::Sequence(_) => DedupState::Sequence(LastPositions::default()),
        ordinals => ordinals,
    };
    // Each run has a registry of its own.
    let provenance = Arc::new(Provenance { rules: RulesRevision::default(), ..Provenance::clone(&item.provenance) });
    Item { revision: 0, attributes, dedup, provenance, ..item }
}

/// Only the beginning of a payload, since DynamoDB truncates those over 400 KB.
fn beginning_and_cause(letter: &DeadLetter) -> (String, String) {
    let beginning = String::from_utf8_lossy(&letter.payload).chars().take(200).collect();
    (beginning, letter.reason.cause.to_string())
}

/// A message and its partition key.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its bytes.
    pub payload: Vec<u8>,
    /// Its partition key.
    pub key: String,
    /// The time of sending, in milliseconds since 1970.
    pub sent_ms: i64,
}

/// The messages of a race, with partition keys.
pub fn race(race: &Race) -> Vec<Message> {
    let mut rng = fastrand::Rng::with_seed(u64::from(race.seed));
    let messages = Messages::new(race).map(|(second, payload)| {
        let racer = serde_json::from_slice::<Value>(&payload).ok().and_then(|value| value["racerId"].as_u64());
        let key = match (race.key, racer) {
            (PartitionKey::Racer, Some(racer)) => racer.to_string(),
            _ => rng.u32(0..100_000_000).to_string(),
        };
        Message { payload, key, sent_ms: 1_620_566_842_000 + i64::from(second) * 1_000 }
    });
    messages.collect()
}
