//! The function as it is deployed: a package, tables in DynamoDB Local, a proxy in front of them, a stream.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use paceline_aws::DynamoDbStore;
use paceline_aws::dynamodb::table::{Billing, create};
use paceline_aws::dynamodb::{DynamoDbConfig, client};
use paceline_aws::s3::open;
use paceline_pipeline::ErrorChain;
use paceline_pipeline::rules::Registry;
use paceline_pipeline::rules::operator::Changed;
use paceline_testbed::dynamodb::{endpoint, unique};
use paceline_testbed::http::post;
use paceline_testbed::lambda::{Configuration, Function, Invocation};
use paceline_testbed::outcome::{self, Outcome, tally};
pub(crate) use paceline_testbed::outcome::{DedupMode, Message, block_on, race, rulebook};
use paceline_testbed::proxy::{FaultProxy, Faults};
use paceline_testbed::rules::{self, ApplyError};
use paceline_testbed::s3;
use paceline_testbed::stream::Stream;
use serde_json::Value;
use tempfile::TempDir;

/// A package and its tables.
pub(crate) struct Deployment {
    folder: TempDir,
    pub(crate) table: DynamoDbConfig,
}

impl Deployment {
    /// A package with a rulebook for class 3, and new tables.
    pub(crate) fn new(dedup: DedupMode) -> Self {
        let deployment = Self::without_tables(dedup);
        block_on(async {
            let client = client(&deployment.table).await.unwrap();
            create(&client, &deployment.table, Billing::OnDemand).await.unwrap();
        });
        deployment
    }

    pub(crate) fn without_tables(dedup: DedupMode) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("rulebooks")).unwrap();
        let table: DynamoDbConfig = serde_json::from_value(serde_json::json!({
            "table": unique("races"), "endpoint": endpoint(), "region": "us-east-1",
        }))
        .unwrap();
        let deployment = Self { folder, table };
        deployment.rulebook(&rulebook(dedup));
        deployment.configure("[retry]\nfirst-wait-ms = 2\nlongest-wait-ms = 100\n");
        deployment
    }

    /// Also counts the records of each racer: the other aggregators would not show that a record was folded twice.
    pub(crate) fn tallied(self, dedup: DedupMode) -> Self {
        self.rulebook(&format!("{}{}", rulebook(dedup), tally(dedup)));
        self
    }

    /// Makes this the rulebook of class 3, in a registry that begins with it.
    pub(crate) fn rulebook(&self, text: &str) {
        let _ = std::fs::remove_dir_all(self.path("registry"));
        self.try_rulebook(text).unwrap_or_else(|error| panic!("{}", ErrorChain(&error)));
    }

    /// Makes this the rulebook of class 3, if it is accepted.
    pub(crate) fn try_rulebook(&self, text: &str) -> Result<Changed, ApplyError> {
        self.write("rulebooks/class-3.toml", text);
        rules::map(&self.path("rulebooks"));
        rules::apply(&self.path("rulebooks"), &Registry::create_folder(&self.path("registry")).unwrap())
    }

    pub(crate) fn configure(&self, more: &str) {
        self.write(
            "paceline.toml",
            &format!(
                "[route]\nrace-type = \"/classId\"\n\n[rules]\nregistry = \"registry\"\npoll-interval-ms = 1\n\n\
                 [store.dynamodb]\ntable = \"{}\"\n\n{more}",
                self.table.table
            ),
        );
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The configuration of the function, with this endpoint of DynamoDB.
    pub(crate) fn configuration(&self, endpoint: &str) -> Configuration {
        let mut configuration = Configuration::new(env!("CARGO_BIN_EXE_bootstrap"));
        configuration.task_root = self.folder.path().to_owned();
        // Plugins are compiled once for all tests. Only the function writes this folder.
        let compiled = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        configuration
            .env("AWS_ENDPOINT_URL_DYNAMODB", endpoint)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_ENDPOINT_URL_S3", s3::endpoint_or_none())
            .env("AWS_REGION", "us-east-1")
            .env("PACELINE_CACHE", compiled.to_str().unwrap())
    }

    /// The function, with this endpoint of DynamoDB.
    pub(crate) fn function(&self, endpoint: &str) -> Function {
        Function::new(self.configuration(endpoint)).unwrap()
    }

    /// A store on the tables, without a proxy.
    pub(crate) fn store(&self) -> DynamoDbStore {
        block_on(DynamoDbStore::connect(&self.table)).unwrap()
    }

    /// The outcome in the tables.
    pub(crate) fn outcome(&self) -> Outcome {
        Outcome::of(&self.store())
    }

    /// The outcome of these messages in one process.
    pub(crate) fn local(&self, messages: &[Message]) -> Outcome {
        outcome::local(&self.path("rulebooks"), &self.path("oracle"), messages)
    }
}

/// The registry at this location in S3.
pub(crate) fn registry_in(bucket: &str) -> Registry {
    let endpoint = s3::endpoint();
    let objects = block_on(open(&bucket.parse().unwrap(), Some("us-east-1"), Some(&endpoint))).unwrap();
    Registry::new(objects, bucket)
}

/// A stream with these messages.
pub(crate) fn stream(messages: &[Message], shards: usize) -> Stream {
    let mut stream = Stream::new("alleycat", shards);
    put(&mut stream, messages);
    stream
}

pub(crate) fn put(stream: &mut Stream, messages: &[Message]) {
    for Message { payload, key, sent_ms } in messages {
        stream.put(key, payload.clone(), *sent_ms);
    }
}

/// A proxy without faults.
pub(crate) fn proxy() -> FaultProxy {
    FaultProxy::start(&endpoint(), Faults::default(), 0)
}

/// Kills the function's busy instance at a request that a test chooses.
#[derive(Clone, Default)]
pub(crate) struct Killer(Arc<AtomicU64>);

impl Killer {
    /// A killer that counts the requests to the proxy.
    pub(crate) fn new(proxy: &FaultProxy, function: &Arc<Function>) -> Self {
        let killer = Self::default();
        let (left, function) = (Arc::clone(&killer.0), Arc::clone(function));
        proxy.on_request(move |_, _| {
            let before = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if before == Ok(1) {
                function.kill_busy();
            }
        });
        killer
    }

    /// Kills at the request after this number of others.
    pub(crate) fn after(&self, requests: u64) {
        self.0.store(requests + 1, Ordering::SeqCst);
    }
}

/// The response of an invocation, which must succeed.
#[track_caller]
pub(crate) fn response(outcome: Invocation) -> Value {
    match outcome {
        Invocation::Ok(response) => response,
        other => panic!("{other:?}"),
    }
}

/// The error message of an invocation, which must fail.
#[track_caller]
pub(crate) fn error_message(outcome: Invocation) -> String {
    match outcome {
        Invocation::FunctionError(error) => {
            assert!(matches!(error["errorType"].as_str(), Some("StartFailed" | "BatchFailed")), "{error}");
            error["errorMessage"].as_str().unwrap_or_default().to_owned()
        }
        other => panic!("{other:?}"),
    }
}

/// A message of class 3 in race 131. Its output is 1.3 × (cadence + 35).
pub(crate) fn beat(racer: u32, second: u32, cadence: u32) -> Value {
    serde_json::json!({
        "event": "update", "deviceTimestamp": 1_620_566_842_000_u64 + u64::from(second) * 1_000, "second": second,
        "raceId": 131, "name": "Hubert", "racerId": racer, "classId": 3, "cadence": cadence, "resistance": 65,
    })
}

/// Payloads as messages, for the local run.
pub(crate) fn messages<'p>(payloads: impl IntoIterator<Item = &'p [u8]>) -> Vec<Message> {
    let message = |payload: &[u8]| Message { payload: payload.to_vec(), key: String::new(), sent_ms: 0 };
    payloads.into_iter().map(message).collect()
}

/// The sequence number of an event's record.
pub(crate) fn sequence(number: usize) -> String {
    format!("49{number:054}")
}

/// A record of an event in Lambda's format.
pub(crate) fn record(number: usize, payload: &[u8]) -> Value {
    let sequence = sequence(number);
    serde_json::json!({
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": "partitionKey1",
            "data": paceline_aws::base64::encode(payload),
            "approximateArrivalTimestamp": 1_620_566_842.971,
            "sequenceNumber": sequence,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": format!("shardId-000000000000:{sequence}"),
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::123456789012:role/paceline",
        "awsRegion": "us-east-1",
        "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/alleycat",
    })
}

/// An event with these records.
pub(crate) fn event(records: &[Value]) -> Vec<u8> {
    serde_json::json!({ "Records": records }).to_string().into_bytes()
}

/// An event with these payloads, numbered from 0.
pub(crate) fn event_of<'p>(payloads: impl IntoIterator<Item = &'p [u8]>) -> Vec<u8> {
    let records: Vec<Value> =
        payloads.into_iter().enumerate().map(|(number, payload)| record(number, payload)).collect();
    event(&records)
}

/// The response that all records are committed.
pub(crate) fn all_committed() -> Value {
    serde_json::json!({ "batchItemFailures": [] })
}

/// The response that Lambda has to retry from this record on.
pub(crate) fn retry_from(sequence: &str) -> Value {
    serde_json::json!({ "batchItemFailures": [{ "itemIdentifier": sequence }] })
}

/// Sends a request to DynamoDB Local as JSON, without the SDK.
pub(crate) fn dynamodb(operation: &str, request: &Value) -> Value {
    let endpoint = endpoint();
    let address = endpoint.strip_prefix("http://").unwrap().trim_end_matches('/');
    let target = format!("DynamoDB_20120810.{operation}");
    let headers = [
        ("X-Amz-Target", target.as_str()),
        ("Content-Type", "application/x-amz-json-1.0"),
        ("X-Amz-Date", "20260101T000000Z"),
        (
            "Authorization",
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0",
        ),
    ];
    let (status, body) = post(address, "/", &headers, request.to_string().as_bytes()).unwrap();
    assert_eq!(status, 200, "{operation} {request}: {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}
