//! The function with its package, the table, and the proxy that gives the table its limits.

use std::path::PathBuf;
use std::time::Duration;

use paceline_aws::dynamodb::table::{Billing, create};
use paceline_aws::dynamodb::{DynamoDbConfig, client};
use paceline_capacity::dynamodb::{BURST_SECONDS, PARTITION_WRITE_UNITS};
use paceline_pipeline::ErrorChain;
use paceline_pipeline::rules::Registry;
use paceline_testbed::dynamodb::unique;
use paceline_testbed::environment::{AWS_VARIABLES, checkout};
use paceline_testbed::lambda::{Configuration, Function};
use paceline_testbed::mapping::Mapping;
use paceline_testbed::outcome::block_on;
use paceline_testbed::proxy::{DynamoDbLimits, FaultProxy, Faults, IndexLimit, UnitLimit};
use paceline_testbed::stream::Stream;
use paceline_testbed::{rules, s3};
use tempfile::TempDir;

use crate::measures::Writes;
use crate::producers;
use crate::setting::Setting;

/// The index of the table.
const INDEX: &str = "GSI_Index";
/// How long a first invocation may take: it compiles plugins.
const WARM_UP: Duration = Duration::from_secs(120);
/// `[retry]` of the configuration, in milliseconds of the race: how long, the first wait, the longest.
const RETRY_MS: (f64, f64, f64) = (30_000.0, 20.0, 2_000.0);

/// What a deployment is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The compiled function.
    pub bootstrap: PathBuf,
    /// The folder of compiled plugins.
    pub cache: PathBuf,
    /// The endpoint of DynamoDB Local.
    pub dynamodb: String,
}

/// A running deployment.
pub(crate) struct Deployment {
    pub(crate) function: Function,
    proxy: FaultProxy,
    table: String,
    /// Removed when it is dropped.
    _package: TempDir,
}

impl Deployment {
    /// Creates the table, starts the function's instances.
    ///
    /// # Panics
    ///
    /// If a part is missing: the message names it.
    pub(crate) fn new(parts: &Parts, setting: &Setting) -> Self {
        let package = tempfile::tempdir().expect("the temporary folder can be written");
        let config = DynamoDbConfig {
            table: unique("races"),
            endpoint: Some(parts.dynamodb.clone()),
            region: Some("us-east-1".to_owned()),
            ..DynamoDbConfig::default()
        };
        let table = config.table.clone();
        block_on(async {
            let client = client(&config).await.expect("a client of DynamoDB Local");
            create(&client, &config, Billing::OnDemand).await.unwrap_or_else(|error| panic!("{}", ErrorChain(&error)));
        });
        let registry = Registry::create_folder(&package.path().join("registry")).expect("a folder for the registry");
        let (packed, unpacked) = (checkout().join("examples/alleycat/rulebooks"), rules::alleycat_unpacked_folder());
        let rulebooks = if setting.packed_groups { packed.as_path() } else { unpacked.path() };
        rules::apply(rulebooks, &registry).unwrap_or_else(|error| panic!("{}", ErrorChain(&error)));
        std::fs::write(package.path().join("paceline.toml"), configuration(&table, setting.speed))
            .expect("the temporary folder can be written");
        let latency = Duration::from_secs_f64(f64::from(setting.table_latency_ms) / 1e3 / setting.speed);
        let faults = Faults { dynamodb: Some(limits(&table, setting)), latency: Some(latency), ..Faults::default() };
        let proxy = FaultProxy::start(&parts.dynamodb, faults, 1);
        let mut function = Configuration::new(&parts.bootstrap);
        function.task_root = package.path().to_owned();
        function.name = "alleycat".to_owned();
        function.max_instances = setting.queues();
        let mut function = function
            .env("AWS_ENDPOINT_URL_DYNAMODB", proxy.endpoint())
            .env("AWS_ENDPOINT_URL_S3", s3::endpoint_or_none())
            .env("PACELINE_CACHE", parts.cache.to_string_lossy())
            // It reports each batch that is not committed.
            .env("RUST_LOG", "off");
        for (name, value) in AWS_VARIABLES {
            function = function.env(name, value);
        }
        let function = Function::new(function).unwrap_or_else(|error| panic!("{error}"));
        let deployment = Self { function, proxy, table, _package: package };
        deployment.warm_up(setting.queues());
        deployment
    }

    /// Starts all instances with a message of another race, so that the race measures none of their starts: an instance
    /// loads its rulebooks with the first message.
    fn warm_up(&self, instances: usize) {
        let mut stream = Stream::new("warm-up", instances);
        let message = producers::message_of_another_race();
        for key in 0.. {
            if stream.shards.iter().all(|shard| !shard.records.is_empty()) {
                break;
            }
            stream.put(key.to_string(), message.clone(), 0);
        }
        let mapping =
            Mapping { timeout: WARM_UP, max_concurrency: instances, batch_size: 10_000, ..Mapping::default() };
        let report = mapping.run(&stream, &self.function);
        assert_eq!(
            (report.function_errors, report.timeouts),
            (0, 0),
            "the function does not start: {}",
            self.function.logs()
        );
    }

    /// Writes of the table and of its index so far.
    pub(crate) fn writes(&self) -> (Writes, Writes) {
        let counts = self.proxy.counts();
        let of = |name: &str| {
            let counts = counts.writes.get(name).copied().unwrap_or_default();
            let (throttled, throttled_by_key) = (counts.throttled as f64, counts.throttled_by_key as f64);
            Writes { units: counts.units, throttled: throttled + throttled_by_key, throttled_by_key }
        };
        (of(&self.table), of(&format!("{}/{INDEX}", self.table)))
    }
}

/// The function's configuration. Its waits run by the race's clock.
fn configuration(table: &str, speed: f64) -> String {
    let scaled = |ms: f64| (ms / speed).round().max(1.0);
    let (deadline, first, longest) = RETRY_MS;
    format!(
        "[route]\nrace-type = \"/classId\"\n\n[rules]\nregistry = \"registry\"\n\n[store.dynamodb]\ntable = \"{table}\"\n\n\
         [retry]\ndeadline-ms = {}\nfirst-wait-ms = {}\nlongest-wait-ms = {}\n",
        scaled(deadline),
        scaled(first),
        scaled(longest)
    )
}

/// The table's limits, by the machine's clock.
fn limits(table: &str, setting: &Setting) -> DynamoDbLimits {
    let provisioned = |units: u32| {
        let units = f64::from(units);
        let at_first = units * (1.0 + setting.credit * BURST_SECONDS);
        UnitLimit { per_second: units * setting.speed, kept: units * (1.0 + BURST_SECONDS), at_first }
    };
    let partition = PARTITION_WRITE_UNITS;
    DynamoDbLimits {
        table: table.to_owned(),
        partition: "PK".to_owned(),
        units: provisioned(setting.table_units),
        index: Some(IndexLimit {
            name: INDEX.to_owned(),
            attribute: "GSI".to_owned(),
            units: provisioned(setting.index_units),
        }),
        partition_units: UnitLimit { per_second: partition * setting.speed, kept: partition, at_first: partition },
    }
}
