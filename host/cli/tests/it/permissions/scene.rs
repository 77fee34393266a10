//! A deployment whose services are behind proxies that record what its requests need permission for.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::OnceLock;

use paceline_aws::s3::open;
use paceline_pipeline::rules::Registry;
use paceline_pipeline::store::DeadLetterStore;
use paceline_simulator::{PartitionKey, Race};
use paceline_testbed::kinesis::Placed;
use paceline_testbed::outcome::{DedupMode, block_on, race};
use paceline_testbed::proxy::{Access, FaultProxy, Faults};
use paceline_testbed::sqs::TestQueue;
use paceline_testbed::{dynamodb, http, kinesis, s3, sqs};
use serde_json::{Value, json};

use super::policy::Policy;
use crate::doctor::deployment::Deployment as Others;
use crate::kcl::{Daemon, numbered_records};
use crate::stream::deployment::Deployment;
use crate::support::{Process, paceline, simulate, succeed};

/// The placeholders of the policies.
pub(super) const NAMES: &[&str] = &[
    "Account",
    "Application",
    "DeadLetterTable",
    "Function",
    "Queue",
    "Region",
    "RulesBucket",
    "RulesPrefix",
    "Stream",
    "Table",
];

pub(super) struct Scene {
    pub(super) deployment: Deployment,
    /// The rules' place in the bucket.
    prefix: String,
    dynamodb: FaultProxy,
    kinesis: FaultProxy,
    s3: FaultProxy,
    /// In front of all other services, if something needs them.
    moto: OnceLock<FaultProxy>,
    /// The names of the queue and of the function.
    queue: OnceLock<String>,
}

fn recorder(endpoint: &str) -> FaultProxy {
    FaultProxy::start(endpoint, Faults::default(), 0)
}

impl Scene {
    /// A stream, tables, and rules for class 3 in a bucket.
    pub(super) fn new() -> Self {
        let deployment = Deployment::new(DedupMode::Ordinal, 1);
        let scene = Self {
            prefix: dynamodb::unique("rules"),
            dynamodb: recorder(&dynamodb::endpoint()),
            kinesis: recorder(&kinesis::endpoint()),
            s3: recorder(&s3::endpoint()),
            moto: OnceLock::new(),
            queue: OnceLock::new(),
            deployment,
        };
        scene.configure("", "");
        let location = scene.registry();
        let objects = block_on(open(&location.parse().unwrap(), Some("us-east-1"), Some(&s3::endpoint()))).unwrap();
        let local = Registry::folder(&scene.deployment.path("registry")).unwrap();
        block_on(local.copy_to(&Registry::new(objects, &location))).unwrap();
        scene
    }

    /// Like `new`; the configuration names tables that do not exist.
    pub(super) fn without_tables() -> Self {
        let mut scene = Self::new();
        scene.deployment.table.table = dynamodb::unique("races");
        scene.configure("", "");
        scene
    }

    fn registry(&self) -> String {
        format!("s3://{}/{}", s3::BUCKET, self.prefix)
    }

    /// Writes the configuration, with more settings of the stream and of the table.
    pub(super) fn configure(&self, stream: &str, table: &str) {
        let text = format!(
            "[source.kinesis]\nstream = \"{}\"\nidle-ms = 200\n{stream}\n[route]\nrace-type = \"/classId\"\n\n\
             [rules]\nregistry = \"{}\"\npoll-interval-ms = 20\n\n[store.dynamodb]\ntable = \"{}\"\n{table}\n\
             [batch]\nmax-wait-ms = 100\n\n[leaderboard.race]\npartition = \"race-{{race}}\"\norder-by = \"output\"\n\
             tie = \"racerId\"\nshow = [\"racerId\"]\n",
            self.stream(),
            self.registry(),
            self.deployment.table.table
        );
        self.deployment.write("paceline.toml", &text);
    }

    pub(super) fn stream(&self) -> &str {
        self.deployment.stream.name()
    }

    /// The proxy in front of moto.
    pub(super) fn moto(&self) -> &FaultProxy {
        self.moto.get_or_init(|| recorder(&sqs::endpoint()))
    }

    /// Names the queue, and the function that has the same name.
    pub(super) fn name_queue(&self, name: &str) {
        self.queue.set(name.to_owned()).unwrap();
    }

    /// A policy with the names of this deployment.
    pub(super) fn policy(&self, name: &str) -> Policy {
        let queue = self.queue.get().map_or("", String::as_str);
        let letters = self.deployment.table.dead_letter_table();
        let names = [
            ("Account", "123456789012"),
            ("Application", "paceline"),
            ("DeadLetterTable", &*letters),
            ("Function", queue),
            ("Queue", queue),
            ("Region", "us-east-1"),
            ("RulesBucket", s3::BUCKET),
            ("RulesPrefix", &self.prefix),
            ("Stream", self.stream()),
            ("Table", &self.deployment.table.table),
        ];
        assert!(names.iter().map(|(name, _)| name).eq(NAMES));
        Policy::read(name, &names)
    }

    /// What the requests so far needed permission for.
    pub(super) fn accesses(&self) -> BTreeSet<Access> {
        let proxies = [&self.dynamodb, &self.kinesis, &self.s3].into_iter().chain(self.moto.get());
        let accesses = proxies.flat_map(|proxy| proxy.counts().accesses);
        // The function in moto names tables of its own.
        let others = self.queue.get().map(|name| format!("table/{name}"));
        let is_own = |access: &Access| match (&others, &access.resource) {
            (Some(others), Some(resource)) => !resource.starts_with(others.as_str()),
            _ => true,
        };
        accesses.filter(is_own).collect()
    }

    /// A command of the program, by way of the proxies.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = paceline(arguments);
        command
            .env("AWS_ENDPOINT_URL_KINESIS", self.kinesis.endpoint())
            .env("AWS_ENDPOINT_URL_DYNAMODB", self.dynamodb.endpoint())
            .env("AWS_ENDPOINT_URL_S3", self.s3.endpoint())
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "us-east-1");
        command
    }

    pub(super) fn ok(&self, arguments: &[&str]) -> String {
        succeed(&mut self.command(arguments))
    }

    /// A command with the configuration.
    pub(super) fn configured(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.arg("--config").arg(self.deployment.path("paceline.toml"));
        command
    }

    pub(super) fn ok_configured(&self, arguments: &[&str]) -> String {
        succeed(&mut self.configured(arguments))
    }

    /// Puts one half of a race of two racers into the stream, with a message that is no JSON.
    pub(super) fn put_race(&self, name: &str, half: usize) -> Vec<Placed> {
        let (number, seed) = (name.len() as u64, 1);
        let (key, errors, duplicates) = (PartitionKey::Racer, 0.0, 0.0);
        let messages = race(&Race { racers: 2, seconds: 4, class: 3, race: number, seed, key, errors, duplicates });
        let messages = &messages[half * messages.len() / 2..][..messages.len() / 2];
        let records = messages.iter().map(|message| (message.key.as_str(), message.payload.as_slice()));
        block_on(self.deployment.stream.put(records.chain([("key", &b"no JSON"[..])])))
    }

    /// Runs the program until the stream is processed.
    pub(super) fn run_until_done(&self) {
        let running = self.deployment.running(self.configured(&["run", "--json"]));
        self.deployment.wait_until_done();
        running.stop();
    }

    /// Processes a shard as the daemon has it processed.
    pub(super) fn process_as_daemon(&self) {
        let mut daemon = Daemon::run(self.configured(&["kcl", "--checkpoint-every-ms", "0"]));
        daemon.initialize("shardId-000000000000");
        let mut messages = simulate("--racers 2 --seconds 4 --class 3 --race 7 --seed 1");
        messages.push(b"no JSON".to_vec());
        let records = numbered_records(&messages);
        let (first, second) = records.split_at(records.len() / 2);
        daemon.process(first);
        daemon.process(second);
        daemon.end_shard();
        daemon.close();
    }

    /// What an operator does with rules.
    pub(super) fn change_rules(&self) {
        let first = self.deployment.path("rulebooks/class-3.toml");
        let text = std::fs::read_to_string(first).unwrap();
        for version in ["2", "3"] {
            let next = text.replace("version = 1", &format!("version = {version}"));
            self.deployment.write("next.toml", &next);
            let file = self.deployment.path("next.toml");
            let plugins = paceline_testbed::plugins::folder();
            let publish = ["rules", "publish", file.to_str().unwrap(), "--plugins", plugins.to_str().unwrap()];
            self.ok_configured(&publish);
        }
        for change in [
            &["activate", "class-3@2", "--race-type", "3"][..],
            &["rollback", "3"],
            &["shadow", "class-3@3", "--race-type", "3"],
            &["promote", "3", "--force", "--no-wait"],
            &["retire", "3"],
            &["list"],
            &["history"],
            &["diff", "class-3@1", "class-3@2"],
            &["verify"],
            &["status"],
            &["adopt"],
        ] {
            self.ok_configured(&[&["rules"], change].concat());
        }
    }

    /// What an operator does to see what another rulebook would change.
    pub(super) fn replay(&self) {
        self.processed();
        let first = self.deployment.path("rulebooks/class-3.toml");
        let next = self.deployment.path("next.toml");
        std::fs::write(&next, std::fs::read_to_string(first).unwrap().replace("version = 1", "version = 2")).unwrap();
        let plugins = paceline_testbed::plugins::folder();
        let rules = ["--rules", next.to_str().unwrap(), "--plugins", plugins.to_str().unwrap()];
        for what in [
            ["--against", "class-3@1", "--from", "stream"],
            ["--against", "committed", "--from", "stream"],
            ["--against", "class-3@1", "--from", "dead-letters"],
        ] {
            self.ok_configured(&[&["rules", "replay"], &rules[..], &what[..]].concat());
        }
    }

    /// What an operator does with dead letters.
    pub(super) fn dead_letters(&self) {
        let placed = self.processed();
        let listed: Value = serde_json::from_str(&self.ok_configured(&["dead-letters", "list", "--json"])).unwrap();
        let id = listed[0]["id"].as_str().unwrap();
        self.ok_configured(&["dead-letters", "show", id]);
        self.ok_configured(&["dead-letters", "redrive"]);

        // A race that begins with its redrive and goes on with another one, by both ways of writing.
        let queue = TestQueue::new("given-up");
        self.name_queue(queue.url().rsplit('/').next().unwrap());
        for (write, half) in [("statements", 0), ("statements", 1), ("items", 0)] {
            self.configure("", &format!("write = \"{write}\"\n"));
            let placed = self.put_race(write, half);
            queue.send(&given_up(self.stream(), &placed));
            let url = queue.url_at(&self.moto().endpoint());
            self.ok_configured(&["dead-letters", "reprocess", "--queue", &url]);
        }
        queue.send(&given_up(self.stream(), &placed));
        let url = queue.url_at(&self.moto().endpoint());
        self.ok_configured(&["dead-letters", "reprocess", "--dry-run", "--queue", &url]);
    }

    /// Puts a part of a race into the stream, and has it processed by a program whose requests are not recorded.
    fn processed(&self) -> Vec<Placed> {
        let placed = self.put_race("a race", 0);
        let s3 = s3::endpoint();
        let variables = [("AWS_ENDPOINT_URL_S3", s3.as_str())];
        let running = self.deployment.start_with(&kinesis::endpoint(), &dynamodb::endpoint(), &variables);
        self.deployment.wait_until_done();
        running.stop();
        placed
    }

    /// A command that observes the deployment, with a function and a queue in moto. Its mapping is of the stream.
    fn observing(&self, command: &str) -> Command {
        let others = Others::named(self.stream().to_owned());
        self.name_queue(others.name());
        let mut command = self.configured(&[command, "--function", others.name(), "--region", "us-east-1"]);
        command.env("AWS_ENDPOINT_URL", self.moto().endpoint());
        command
    }

    /// Examines the deployment. What is found decides the exit code.
    pub(super) fn examine(&self) {
        self.processed();
        let output = self.observing("doctor").arg("--json").output().unwrap();
        let report = serde_json::from_slice::<Value>(&output.stdout);
        assert!(report.is_ok(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Shows the deployment on the dashboard, with a race and a dead letter.
    pub(super) fn show(&self) {
        self.processed();
        let mut command = self.observing("dashboard");
        command.args(["--listen", "127.0.0.1:0"]).env("NO_COLOR", "1");
        let process = Process::start(command);
        let line = process.wait_for("serving the dashboard");
        let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        let get = |path: &str| {
            let (status, body) = http::get(&address, path).unwrap();
            assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        };
        get("/");
        get("/status.json?class=3&race=6");
        let letters = block_on(self.deployment.store().list_dead_letters()).unwrap();
        get(&format!("/dead-letters/{}", letters[0].id.replace('/', "%2F")));
        process.kill();
    }
}

/// The message of a batch of these records.
fn given_up(stream: &str, placed: &[Placed]) -> String {
    let info = json!({
        "shardId": placed[0].shard,
        "startSequenceNumber": placed[0].sequence,
        "endSequenceNumber": placed[placed.len() - 1].sequence,
        "batchSize": placed.len(),
        "streamArn": format!("arn:aws:kinesis:us-east-1:123456789012:stream/{stream}"),
    });
    json!({ "KinesisBatchInfo": info }).to_string()
}
