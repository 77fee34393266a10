//! A deployed consumer: a stream, tables, a configuration, and the program that uses them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use paceline_aws::DynamoDbStore;
use paceline_aws::dynamodb::table::{Billing, create};
use paceline_aws::dynamodb::{DynamoDbConfig, client};
use paceline_pipeline::ErrorChain;
use paceline_pipeline::model::Checkpoint;
use paceline_pipeline::model::SequenceNumber;
use paceline_pipeline::rules::Registry;
use paceline_pipeline::store::CheckpointStore;
use paceline_testbed::kinesis::{TestStream, is_closed};
use paceline_testbed::outcome::{self, DedupMode, Message, Outcome, block_on, rulebook, tally};
use paceline_testbed::{dynamodb, http, kinesis, rules};
use tempfile::TempDir;

use crate::support::{Process, paceline};

/// How long a consumer may take to process a test's records on a busy machine.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(120);
/// The interval between two polls. A table has no event for a write.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A stream, tables, a configuration.
pub(crate) struct Deployment {
    folder: TempDir,
    pub(crate) stream: TestStream,
    pub(crate) table: DynamoDbConfig,
}

impl Deployment {
    /// A stream with this many shards, and a rulebook that also counts every racer's records: the other aggregators do
    /// not show that a record was counted twice.
    pub(crate) fn new(dedup: DedupMode, shards: i32) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("rulebooks")).unwrap();
        let stream = block_on(TestStream::new("races", shards));
        let table: DynamoDbConfig = serde_json::from_value(serde_json::json!({
            "table": dynamodb::unique("races"), "endpoint": dynamodb::endpoint(), "region": "us-east-1",
        }))
        .unwrap();
        block_on(async {
            let client = client(&table).await.unwrap();
            create(&client, &table, Billing::OnDemand).await.unwrap();
        });
        let deployment = Self { folder, stream, table };
        deployment.write("rulebooks/class-3.toml", &format!("{}{}", rulebook(dedup), tally(dedup)));
        deployment.configure("", "");
        deployment.apply();
        deployment
    }

    /// Makes the rules those of the folder `rulebooks`.
    pub(crate) fn apply(&self) {
        rules::map(&self.path("rulebooks"));
        let applied = rules::apply(&self.path("rulebooks"), &Registry::create_folder(&self.path("registry")).unwrap());
        applied.unwrap_or_else(|error| panic!("{}", ErrorChain(&error)));
    }

    /// Writes the configuration: more settings of the stream, and more at the end.
    pub(crate) fn configure(&self, kinesis: &str, more: &str) {
        let (stream, table) = (self.stream.name(), &self.table.table);
        self.write(
            "paceline.toml",
            &format!(
                "[source.kinesis]\nstream = \"{stream}\"\nidle-ms = 200\ndiscover-every-ms = 500\n{kinesis}\n\
                 [serve]\nlisten = \"127.0.0.1:0\"\n\n[route]\nrace-type = \"/classId\"\n\n\
                 [rules]\nregistry = \"registry\"\npoll-interval-ms = 20\n\n\
                 [store.dynamodb]\ntable = \"{table}\"\n\n[batch]\nmax-wait-ms = 100\n\n\
                 [retry]\nfirst-wait-ms = 2\nlongest-wait-ms = 100\n\n{more}"
            ),
        );
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the program with these endpoints.
    pub(crate) fn start(&self, kinesis: &str, dynamodb: &str) -> Running {
        self.start_with(kinesis, dynamodb, &[])
    }

    /// Starts the program with the endpoints of the services themselves.
    pub(crate) fn start_without_proxies(&self) -> Running {
        self.start(&kinesis::endpoint(), &dynamodb::endpoint())
    }

    /// Like `start`, with more environment variables.
    pub(crate) fn start_with(&self, kinesis: &str, dynamodb: &str, variables: &[(&str, &str)]) -> Running {
        let mut command = paceline(&["run", "--json"]);
        command.arg("--config").arg(self.path("paceline.toml"));
        command.env("AWS_ENDPOINT_URL_KINESIS", kinesis).env("AWS_ENDPOINT_URL_DYNAMODB", dynamodb);
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test").env("AWS_REGION", "us-east-1");
        // Plugins are compiled once for all tests. Nobody else writes to the folder.
        command.env("PACELINE_CACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled"));
        command.envs(variables.iter().copied());
        self.running(command)
    }

    /// Starts a command that runs.
    pub(crate) fn running(&self, mut command: Command) -> Running {
        command.env("NO_COLOR", "1");
        Running { process: Process::start(command), address: None }
    }

    /// Puts messages in order, each with its key.
    pub(crate) fn put(&self, messages: &[Message]) {
        let records = messages.iter().map(|message| (message.key.as_str(), message.payload.as_slice()));
        block_on(self.stream.put(records));
    }

    /// A store on the tables, without a proxy.
    pub(crate) fn store(&self) -> DynamoDbStore {
        block_on(DynamoDbStore::connect(&self.table)).unwrap()
    }

    /// A shard's checkpoint.
    pub(crate) fn checkpoint(&self, shard: &str) -> Option<Checkpoint> {
        block_on(self.store().get_checkpoint(&format!("{}/{shard}", self.stream.name()))).unwrap()
    }

    /// Waits until the whole stream is processed: each shard's checkpoint is at its last record, and the checkpoints of
    /// closed shards are marked as ended.
    pub(crate) fn wait_until_done(&self) {
        self.wait_until_done_within(TIME_LIMIT);
    }

    pub(crate) fn wait_until_done_within(&self, limit: Duration) {
        let mut ends: BTreeMap<String, (Option<SequenceNumber>, bool)> = BTreeMap::new();
        block_on(async {
            for shard in self.stream.shards().await {
                let last = self.stream.read(shard.shard_id()).await.pop();
                let last = last.map(|record| record.sequence_number().parse().unwrap());
                ends.insert(shard.shard_id().to_owned(), (last, is_closed(&shard)));
            }
        });
        let (store, deadline) = (self.store(), Instant::now() + limit);
        block_on(async {
            for (shard, (last, closed)) in &ends {
                loop {
                    let checkpoint = store.get_checkpoint(&format!("{}/{shard}", self.stream.name())).await.unwrap();
                    let checkpoint = checkpoint.unwrap_or_default();
                    if last.is_none_or(|last| checkpoint.sequence >= last) && (!closed || checkpoint.ended) {
                        break;
                    }
                    assert!(
                        Instant::now() < deadline,
                        "{shard} is at {checkpoint:?}, not at {last:?} (closed: {closed})"
                    );
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
            }
        });
    }

    /// The outcome in the table.
    pub(crate) fn outcome(&self) -> Outcome {
        Outcome::of(&self.store())
    }

    /// The outcome of these messages in a local run.
    pub(crate) fn local(&self, messages: &[Message]) -> Outcome {
        outcome::local(&self.path("rulebooks"), &self.path("oracle"), messages)
    }
}

/// A running consumer.
pub(crate) struct Running {
    pub(crate) process: Process,
    address: Option<String>,
}

impl Running {
    /// Sends a GET to the program and returns status and body.
    pub(crate) fn get(&mut self, path: &str) -> (u16, String) {
        if self.address.is_none() {
            let line = self.process.wait_for("serving /metrics");
            let address = match serde_json::from_str::<serde_json::Value>(&line) {
                Ok(line) => line["address"].as_str().map(str::to_owned),
                Err(_) => {
                    line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next()).map(str::to_owned)
                }
            };
            self.address = Some(address.expect("the log line has no address"));
        }
        get(self.address.as_deref().unwrap(), path)
    }

    /// Waits until `/readyz` answers 200.
    pub(crate) fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + TIME_LIMIT;
        loop {
            let (status, why) = self.get("/readyz");
            if status == 200 {
                return;
            }
            assert!(Instant::now() < deadline, "{why}");
            paceline_testbed::poll::pause(POLL_INTERVAL);
        }
    }

    /// The sum of a metric over all its labels.
    pub(crate) fn metric(&mut self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let values = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (labelled, value) = line.rsplit_once(' ')?;
            (labelled.split('{').next() == Some(name)).then(|| value.parse::<f64>().unwrap())
        });
        values.sum()
    }

    /// Sends SIGTERM, waits until the program exits, and returns its summary.
    pub(crate) fn stop(self) -> serde_json::Value {
        signal(&self.process.child, "TERM");
        serde_json::from_str(&self.process.finish()).unwrap()
    }
}

/// Sends a signal to a program.
pub(crate) fn signal(child: &std::process::Child, name: &str) {
    let kill = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
}

/// Sends a GET to a server and returns status and body.
pub(crate) fn get(address: &str, path: &str) -> (u16, String) {
    let (status, body) = http::get(address, path).unwrap();
    (status, String::from_utf8(body).unwrap())
}
