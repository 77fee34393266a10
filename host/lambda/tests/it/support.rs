//! The function as it is deployed: a package, tables in DynamoDB Local, a proxy before them, a stream to feed it from.
#![allow(dead_code, unused_imports, reason = "each test file uses its own part of this")]
#![allow(unreachable_pub, reason = "shared by test files that are crates of their own")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use paceline_aws::DynamoDbStore;
use paceline_aws::dynamodb::table::{Billing, create};
use paceline_aws::dynamodb::{DynamoDbConfig, client};
use paceline_pipeline::Store;
use paceline_testbed::dynamodb::{endpoint, unique};
use paceline_testbed::lambda::{Configuration, Function, Invocation};
pub use paceline_testbed::outcome::{
    self, DedupMode, Message, Outcome, block_on, plugin_lines, plugins, race, rulebook, tally,
};
use paceline_testbed::proxy::{FaultProxy, Faults};
use paceline_testbed::stream::Stream;
use serde_json::Value;
use tempfile::TempDir;

/// A package and its tables.
pub struct Deployment {
    folder: TempDir,
    pub table: DynamoDbConfig,
}

impl Deployment {
    /// A package whose class 3 has a rulebook, with tables of its own.
    pub fn new(dedup: DedupMode) -> Self {
        let deployment = Self::without_tables(dedup);
        block_on(async {
            let client = client(&deployment.table).await.unwrap();
            create(&client, &deployment.table, Billing::OnDemand).await.unwrap();
        });
        deployment
    }

    pub fn without_tables(dedup: DedupMode) -> Self {
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

    /// Has every racer's records counted, too: the races' own aggregators would not show that one was folded twice.
    pub fn count(self, dedup: DedupMode) -> Self {
        self.rulebook(&format!("{}{}", rulebook(dedup), tally(dedup)));
        self
    }

    pub fn rulebook(&self, text: &str) {
        self.write("rulebooks/class-3.toml", text);
    }

    pub fn configure(&self, more: &str) {
        let all = plugin_lines();
        self.write(
            "paceline.toml",
            &format!(
                "[route]\nrace-type = \"/classId\"\n\n[rulebooks]\nfolder = \"rulebooks\"\nregistry = \"registry\"\n\n\
                 [plugins]\n{all}\n[store.dynamodb]\ntable = \"{}\"\n\n{more}",
                self.table.table
            ),
        );
    }

    pub fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What Lambda is told of the function. It reaches DynamoDB through this endpoint.
    pub fn configuration(&self, endpoint: &str) -> Configuration {
        let mut configuration = Configuration::new(env!("CARGO_BIN_EXE_bootstrap"));
        configuration.task_root = self.folder.path().to_owned();
        // Compiled once for all tests; nobody else writes the folder.
        let compiled = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        configuration
            .env("AWS_ENDPOINT_URL_DYNAMODB", endpoint)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "us-east-1")
            .env("PACELINE_CACHE", compiled.to_str().unwrap())
    }

    /// The function, whose requests go to this endpoint.
    pub fn function(&self, endpoint: &str) -> Function {
        Function::new(self.configuration(endpoint)).unwrap()
    }

    /// A store on the tables, past any proxy.
    pub fn store(&self) -> DynamoDbStore {
        block_on(DynamoDbStore::connect(&self.table)).unwrap()
    }

    /// What stands in the table.
    pub fn outcome(&self) -> Outcome {
        let store = self.store();
        Outcome::of(block_on(store.items()).unwrap(), &block_on(store.dead_letters()).unwrap())
    }

    /// What one run of these messages on one machine comes to.
    pub fn local(&self, messages: &[Message]) -> Outcome {
        outcome::local(&self.path("rulebooks"), &self.path("oracle"), messages)
    }
}

/// A stream with these messages.
pub fn stream(messages: &[Message], shards: usize) -> Stream {
    let mut stream = Stream::new("alleycat", shards);
    put(&mut stream, messages);
    stream
}

pub fn put(stream: &mut Stream, messages: &[Message]) {
    for Message { payload, key, sent_ms } in messages {
        stream.put(key, payload.clone(), *sent_ms);
    }
}

/// A proxy that lets everything through.
pub fn proxy() -> FaultProxy {
    FaultProxy::start(&endpoint(), Faults::default(), 0)
}

/// Kills the function's busy instance when so many requests from now have come in.
#[derive(Clone, Default)]
pub struct Killer(Arc<AtomicU64>);

impl Killer {
    /// A killer that listens to the proxy.
    pub fn new(proxy: &FaultProxy, function: &Arc<Function>) -> Self {
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

    /// Kills at the request that comes after so many others.
    pub fn after(&self, requests: u64) {
        self.0.store(requests + 1, Ordering::SeqCst);
    }
}

/// The answer of an invocation that succeeds.
pub fn answer(outcome: Invocation) -> Value {
    match outcome {
        Invocation::Ok(answer) => answer,
        other => panic!("{other:?}"),
    }
}

/// The error message of an invocation that fails.
pub fn error(outcome: Invocation) -> String {
    match outcome {
        Invocation::FunctionError(error) => {
            assert!(matches!(error["errorType"].as_str(), Some("StartFailed" | "BatchFailed")), "{error}");
            error["errorMessage"].as_str().unwrap_or_default().to_owned()
        }
        other => panic!("{other:?}"),
    }
}

/// A message of class 3 in race 131. Its output is 1.3 × (cadence + 35).
pub fn beat(racer: u32, second: u32, cadence: u32) -> Value {
    serde_json::json!({
        "event": "update", "deviceTimestamp": 1_620_566_842_000_u64 + u64::from(second) * 1_000, "second": second,
        "raceId": 131, "name": "Hubert", "racerId": racer, "classId": 3, "cadence": cadence, "resistance": 65,
    })
}

/// Payloads as messages, for the local run.
pub fn messages<'p>(payloads: impl IntoIterator<Item = &'p [u8]>) -> Vec<Message> {
    let message = |payload: &[u8]| Message { payload: payload.to_vec(), key: String::new(), sent_ms: 0 };
    payloads.into_iter().map(message).collect()
}

/// The sequence number of an event's record.
pub fn sequence(number: usize) -> String {
    format!("49{number:054}")
}

/// A record of an event, as Lambda writes it.
pub fn record(number: usize, payload: &[u8]) -> Value {
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
pub fn event(records: &[Value]) -> Vec<u8> {
    serde_json::json!({ "Records": records }).to_string().into_bytes()
}

/// An event with these payloads, numbered from 0.
pub fn event_of<'p>(payloads: impl IntoIterator<Item = &'p [u8]>) -> Vec<u8> {
    let records: Vec<Value> =
        payloads.into_iter().enumerate().map(|(number, payload)| record(number, payload)).collect();
    event(&records)
}

/// The answer of which nothing has to come again.
pub fn all_safe() -> Value {
    serde_json::json!({ "batchItemFailures": [] })
}

/// The answer by which all from this record on has to come again.
pub fn safe_before(sequence: &str) -> Value {
    serde_json::json!({ "batchItemFailures": [{ "itemIdentifier": sequence }] })
}

/// Posts to a server, which must not answer in chunks; status and body.
pub fn post(address: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(60)))?;
    // Of version 1.0, an answer ends with its connection.
    let mut request = format!("POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {}\r\n", body.len());
    headers.iter().for_each(|(name, value)| request.push_str(&format!("{name}: {value}\r\n")));
    request.push_str("\r\n");
    stream.write_all(&[request.as_bytes(), body].concat())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let split = answer.windows(4).position(|end| end == b"\r\n\r\n");
    let split = split.ok_or_else(|| std::io::Error::other("no head of an answer"))?;
    let head = String::from_utf8_lossy(&answer[..split]);
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other(format!("no status in {head:?}")))?;
    Ok((status, answer[split + 4..].to_vec()))
}

/// Asks DynamoDB Local in its own JSON, past the SDK and past what paceline makes of it.
pub fn dynamodb(operation: &str, request: &Value) -> Value {
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
