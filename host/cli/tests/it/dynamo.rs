//! A place whose store is a table in DynamoDB Local, and what stands in it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use paceline_aws::DynamoDbStore;
use paceline_aws::dynamodb::table::{Billing, create};
use paceline_aws::dynamodb::{DynamoDbConfig, client};
use paceline_pipeline::Store;
use paceline_pipeline::dedup::{Fence, LastPositions};
use paceline_pipeline::model::DeadLetter;
use paceline_pipeline::model::{Attribute, Item, Key};
use paceline_pipeline::store::EmbeddedStore;
use paceline_testbed::dynamodb::{endpoint, unique};

use crate::support::{DedupMode, Workspace, block_on, joined, rulebook};

/// A workspace, and the table that its configuration names.
pub(crate) struct Deployment {
    pub(crate) workspace: Workspace,
    pub(crate) table: DynamoDbConfig,
}

impl Deployment {
    /// A place that reads a stream, with tables of its own. Its rulebook counts every racer's records, too, behind either
    /// fence: the races' own aggregators would not show that one was folded twice.
    pub(crate) fn new() -> Self {
        let deployment = Self::without_tables();
        block_on(async {
            let client = client(&deployment.table).await.unwrap();
            create(&client, &deployment.table, Billing::OnDemand).await.unwrap();
        });
        deployment
    }

    pub(crate) fn without_tables() -> Self {
        let workspace = Workspace::new(DedupMode::Ordinal);
        workspace.write("rulebooks/class-3.toml", counting());
        let table = serde_json::json!({ "table": unique("races"), "endpoint": endpoint(), "region": "us-east-1" });
        let deployment = Self { workspace, table: serde_json::from_value(table).unwrap() };
        deployment.configure("stream = \"alleycat\"", "");
        deployment
    }

    /// Writes the configuration: the stream's settings, and whatever else comes at the end. DynamoDB's endpoint is for the
    /// environment to say.
    pub(crate) fn configure(&self, kinesis: &str, more: &str) {
        self.configure_with("", kinesis, more);
    }

    /// Likewise, with more settings of the table's.
    pub(crate) fn configure_with(&self, table: &str, kinesis: &str, more: &str) {
        self.workspace.configure(&format!("[source.kinesis]\n{kinesis}\n"), more);
        let file = self.workspace.path("paceline.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let store = format!("[store.dynamodb]\ntable = {:?}\nregion = \"us-east-1\"\n{table}\n", self.table.table);
        std::fs::write(&file, text.replace("[store]\npath = \"store.redb\"\n", &store)).unwrap();
    }

    /// A command of the program, whose requests for DynamoDB go to this endpoint.
    pub(crate) fn command(&self, arguments: &[&str], endpoint: &str) -> Command {
        let mut command = self.workspace.command(arguments);
        environment(&mut command, endpoint);
        command
    }

    /// What stands in the table.
    pub(crate) fn outcome(&self) -> Outcome {
        let store = block_on(DynamoDbStore::connect(&self.table)).unwrap();
        Outcome::of(block_on(store.items()).unwrap(), &block_on(store.dead_letters()).unwrap())
    }
}

/// What a process needs to reach DynamoDB Local.
pub(crate) fn environment(command: &mut Command, endpoint: &str) {
    // Compiled once for all tests; nobody else writes the folder.
    let compiled = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    command
        .env("AWS_ENDPOINT_URL_DYNAMODB", endpoint)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("PACELINE_CACHE", compiled);
}

/// The races' rulebook, with counts.
fn counting() -> String {
    let count = |name: &str, dedup: &str| {
        format!(
            "\n[[aggregate]]\nplugin = \"evil-aggregator\"\nfence = {dedup}\n\
             key = {{ PK = \"{name}-{{/raceId}}\", SK = \"racer-{{/racerId}}\" }}\n"
        )
    };
    let ordinal = count("by-ordinal", r#"{ ordinal = "/second" }"#);
    format!("{}{ordinal}{}", rulebook(3, 1, DedupMode::Ordinal), count("by-sequence", r#""sequence""#))
}

/// What one run of these messages on one machine comes to.
pub(crate) fn on_one_machine(messages: &[Vec<u8>]) -> Outcome {
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.write("rulebooks/class-3.toml", counting());
    workspace.write("messages.ndjson", joined(messages));
    workspace.run();
    let store = EmbeddedStore::open(&workspace.path("store.redb")).unwrap();
    Outcome::of(block_on(store.items()).unwrap(), &block_on(store.dead_letters()).unwrap())
}

/// What people see of a store: all of each item but its revision and its fence, which depend on how the records came; and
/// the dead letters' payloads with their reasons.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) items: BTreeMap<Key, Item>,
    pub(crate) dead: Vec<(String, String)>,
}

impl Outcome {
    fn of(items: Vec<(Key, Item)>, letters: &[DeadLetter]) -> Self {
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
        // A table holds no more than 400 KB of the longest payloads.
        let letter = |letter: &DeadLetter| {
            let start: String = String::from_utf8_lossy(&letter.payload).chars().take(200).collect();
            (start, letter.reason.cause.to_string())
        };
        let mut dead: Vec<_> = letters.iter().map(letter).collect();
        dead.sort();
        Self { items: items.into_iter().map(plain).collect(), dead }
    }

    /// How many records have been counted, twice each, and how many are dead letters.
    pub(crate) fn counts(&self) -> (u64, usize) {
        let counts = self.items.iter().filter(|(key, _)| key.partition.starts_with("by-"));
        let number = |value: &Attribute| if let Attribute::Number(number) = value { *number as u64 } else { 0 };
        (counts.filter_map(|(_, item)| item.attribute("count").map(number)).sum(), self.dead.len())
    }

    /// Whether all of the other's records have come to this one. What is beyond is for [`must_be`](Self::must_be) to find.
    pub(crate) fn reaches(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.counts(), other.counts());
        ours.0 >= theirs.0 && ours.1 >= theirs.1
    }

    /// Demands that two are the same, and says briefly where they are not.
    pub(crate) fn must_be(&self, other: &Self) {
        for (key, item) in &other.items {
            assert_eq!(self.items.get(key), Some(item), "{key}");
        }
        let more: Vec<_> = self.items.keys().filter(|key| !other.items.contains_key(key)).collect();
        assert!(more.is_empty(), "items that should not be there: {more:?}");
        for (ours, theirs) in self.dead.iter().zip(&other.dead) {
            assert_eq!(ours, theirs, "dead letters");
        }
        assert_eq!(self.dead.len(), other.dead.len(), "dead letters");
    }
}
