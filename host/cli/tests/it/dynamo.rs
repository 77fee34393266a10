//! A workspace whose store is a table in DynamoDB Local, and the table's content.

use std::path::Path;
use std::process::Command;

use paceline_aws::DynamoDbStore;
use paceline_aws::dynamodb::table::{Billing, create};
use paceline_aws::dynamodb::{DynamoDbConfig, client};
use paceline_pipeline::store::EmbeddedStore;
use paceline_testbed::dynamodb::{endpoint, unique};
pub(crate) use paceline_testbed::outcome::Outcome;
use paceline_testbed::outcome::tally;

use crate::support::{DedupMode, Workspace, block_on, joined, rulebook};

/// A workspace, and the table that its configuration names.
pub(crate) struct Deployment {
    pub(crate) workspace: Workspace,
    pub(crate) table: DynamoDbConfig,
}

impl Deployment {
    /// A workspace that reads a stream, with its own tables. Its rulebook also counts every racer's records, with both
    /// kinds of dedup: the other aggregators do not show that a record was counted twice.
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
        workspace.write("rulebooks/class-3.toml", counting_rulebook());
        let table = serde_json::json!({ "table": unique("races"), "endpoint": endpoint(), "region": "us-east-1" });
        let deployment = Self { workspace, table: serde_json::from_value(table).unwrap() };
        deployment.configure("stream = \"alleycat\"", "");
        deployment
    }

    /// Writes the configuration: the stream's settings, and more at the end. The environment has DynamoDB's endpoint.
    pub(crate) fn configure(&self, kinesis: &str, more: &str) {
        self.configure_with("", kinesis, more);
    }

    /// Like `configure`, with more settings of the table.
    pub(crate) fn configure_with(&self, table: &str, kinesis: &str, more: &str) {
        self.workspace.configure(&format!("[source.kinesis]\n{kinesis}\n"), more);
        let file = self.workspace.path("paceline.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let store = format!("[store.dynamodb]\ntable = {:?}\nregion = \"us-east-1\"\n{table}\n", self.table.table);
        std::fs::write(&file, text.replace("[store]\npath = \"store.redb\"\n", &store)).unwrap();
    }

    /// A command of the program that reaches DynamoDB at this endpoint.
    pub(crate) fn command(&self, arguments: &[&str], endpoint: &str) -> Command {
        let mut command = self.workspace.command(arguments);
        environment(&mut command, endpoint);
        command
    }

    pub(crate) fn outcome(&self) -> Outcome {
        let store = block_on(DynamoDbStore::connect(&self.table)).unwrap();
        Outcome::of(&store)
    }
}

/// Sets the variables that a process needs to reach DynamoDB Local.
pub(crate) fn environment(command: &mut Command, endpoint: &str) {
    // Plugins are compiled once for all tests. Nobody else writes to the folder.
    let compiled = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    command
        .env("AWS_ENDPOINT_URL_DYNAMODB", endpoint)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("PACELINE_CACHE", compiled);
}

/// The races' rulebook, which counts records as well.
pub(crate) fn counting_rulebook() -> String {
    let tallies = [DedupMode::Ordinal, DedupMode::Sequence].map(tally).concat();
    format!("{}{tallies}", rulebook(3, 1, DedupMode::Ordinal))
}

/// The outcome of these messages from a file in an embedded store. Those without bytes are dead letters, as in a stream: in
/// a file they are blank lines.
pub(crate) fn local_outcome(messages: &[Vec<u8>]) -> Outcome {
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.write("rulebooks/class-3.toml", counting_rulebook());
    workspace.write("messages.ndjson", joined(messages));
    workspace.run();
    let mut outcome = Outcome::of(&EmbeddedStore::open(&workspace.path("store.redb")).unwrap());
    let empty = messages.iter().filter(|message| message.is_empty());
    outcome.dead_letters.extend(empty.map(|_| (String::new(), "empty".to_owned())));
    outcome.dead_letters.sort();
    outcome
}
