//! The races that tests run, and what should come of them: a rulebook, messages, and a run of one process into memory
//! with which every other run is compared.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use paceline_engine::{Engine, Limits};
use paceline_pipeline::model::DeadLetter;
use paceline_pipeline::model::Pointer;
use paceline_pipeline::model::{Attribute, Item, Key};
use paceline_pipeline::model::{Batch, BatchLimits};
use paceline_pipeline::rules::{Registry, RulebookFolder};
use paceline_pipeline::store::MemoryStore;
use paceline_pipeline::summary::Summary;
use paceline_pipeline::{Pipeline, RetryPolicy, Rulebooks, Store};
use paceline_simulator::{Messages, PartitionKey, Race};
use serde_json::Value;

/// The plugins' names in rulebooks.
const PLUGINS: [&str; 7] =
    ["telemetry", "output", "last-output", "best-output", "evil-scorer", "evil-validator", "evil-aggregator"];

/// Where the built plugins are.
pub fn plugins() -> PathBuf {
    let folder = std::env::var_os("PACELINE_PLUGINS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins"), PathBuf::from);
    assert!(folder.join("output.wasm").is_file(), "{} holds no plugins: `make plugins` builds them", folder.display());
    folder.canonicalize().unwrap()
}

/// The plugins' files by their names.
pub fn plugin_files() -> BTreeMap<String, PathBuf> {
    let folder = plugins();
    PLUGINS.iter().map(|name| ((*name).to_owned(), folder.join(format!("{name}.wasm")))).collect()
}

/// The plugins' files as a configuration's `[plugins]` names them.
pub fn plugin_lines() -> String {
    plugin_files().iter().map(|(name, file)| format!("{name} = {file:?}\n")).collect()
}

/// What keeps a record from being folded twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DedupMode {
    /// The last position folded, by shard.
    Sequence,
    /// Each value of a field once.
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
race-type = "3"
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

/// An aggregate that counts the records of each racer.
pub fn tally(dedup: DedupMode) -> String {
    let dedup = match dedup {
        DedupMode::Sequence => r#""sequence""#,
        DedupMode::Ordinal => r#"{ ordinal = "/second" }"#,
    };
    format!(
        r#"
[[aggregate]]
plugin = "evil-aggregator"
key = {{ PK = "tally-{{/raceId}}", SK = "racer-{{/racerId}}" }}
dedup = {dedup}
"#
    )
}

/// What one run of these messages on one machine comes to, by the rulebooks in a folder. `scratch` is a folder that
/// nobody else uses.
pub fn local(rulebooks: &Path, scratch: &Path, messages: &[Message]) -> Outcome {
    let engine = Engine::new(Limits::default()).unwrap();
    let registry = Registry::open(scratch).unwrap();
    let ruling = Arc::new(Rulebooks::new(engine, registry, Pointer::parse("/classId").unwrap()));
    Watch::new(rulebooks.to_owned(), plugin_files(), Arc::clone(&ruling)).poll().unwrap();
    let pipeline = Pipeline::new(MemoryStore::default(), ruling, BatchLimits::default(), RetryPolicy::default());
    let mut summary = Summary::default();
    for (at, chunk) in messages.chunks(10_000).enumerate() {
        let mut batch = Batch::new("local".into());
        for (nth, message) in chunk.iter().enumerate() {
            batch.push(&message.payload, ((at * 10_000 + nth) as u64).into());
        }
        assert!(block_on(pipeline.process(&batch, None, &mut summary)).unwrap().first_uncommitted.is_none());
    }
    let store = pipeline.store();
    Outcome::of(block_on(store.items()).unwrap(), &block_on(store.dead_letters()).unwrap())
}

/// Waits for a future, in a test that is not one itself.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// What people see of a table: all of each item but its revision and its fence, which depend on how the records came;
/// and the dead letters' payloads with their reasons.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The items.
    pub items: BTreeMap<Key, Item>,
    /// The beginnings of dead letters' payloads, and their reasons.
    pub dead: Vec<(String, String)>,
}

impl Outcome {
    /// What these come to.
    pub fn of(items: Vec<(Key, Item)>, letters: &[DeadLetter]) -> Self {
        use paceline_pipeline::dedup::{Fence, LastPositions};
        let plain = |(key, item): (Key, Item)| {
            let mut attributes = item.attributes;
            // DynamoDB has one sort of number.
            for (_, value) in &mut attributes {
                if let Attribute::Integer(integer) = value {
                    *value = Attribute::Number(*integer as f64);
                }
            }
            attributes.sort_by(|(a, _), (b, _)| a.cmp(b));
            let dedup = match item.dedup {
                // Which shard a record came by is chance; which ordinals were folded is not.
                Fence::Sequence(_) => Fence::Sequence(LastPositions::default()),
                ordinals => ordinals,
            };
            (key, Item { revision: 0, attributes, dedup, ..item })
        };
        let mut dead: Vec<_> = letters
            .iter()
            // A table holds 400 KB of the longest ones.
            .map(|letter| {
                let start: String = String::from_utf8_lossy(&letter.payload).chars().take(200).collect();
                (start, letter.reason.cause.to_string())
            })
            .collect();
        dead.sort();
        Self { items: items.into_iter().map(plain).collect(), dead }
    }

    /// Demands that two are the same, and says briefly where they are not.
    pub fn must_be(&self, other: &Self, what: &str) {
        for (key, item) in &other.items {
            assert_eq!(self.items.get(key), Some(item), "{what}: {key}");
        }
        let more: Vec<_> = self.items.keys().filter(|key| !other.items.contains_key(key)).collect();
        assert!(more.is_empty(), "{what}: items that should not be there: {more:?}");
        for (ours, theirs) in self.dead.iter().zip(&other.dead) {
            assert_eq!(ours, theirs, "{what}: dead letters");
        }
        assert_eq!(self.dead.len(), other.dead.len(), "{what}: dead letters");
    }
}

/// A message and the key that its producer gives it.
#[derive(Clone, Debug)]
pub struct Message {
    /// What is sent.
    pub payload: Vec<u8>,
    /// Its partition key.
    pub key: String,
    /// When it is sent, in milliseconds since 1970.
    pub sent_ms: i64,
}

/// The messages of a race.
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
