//! kinesis-local: where it listens, a client for it, streams of one's own.
//!
//! One server serves all tests, side by side: each takes streams with names that no other has. It enforces no limit and
//! never fails; what the real one refuses, [`crate::proxy`] refuses in front of it.

use std::path::Path;
use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::{
    BehaviorVersion, Builder, Credentials, HttpClient, Region, StalledStreamProtectionConfig,
};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{
    ConsumerStatus, PutRecordsRequestEntry, Record, ScalingType, Shard, ShardIteratorType, StreamStatus,
};
use aws_smithy_http_client::Builder as HttpBuilder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use tokio::time::sleep;

/// The variable by which `scripts/local-aws` says where kinesis-local listens.
const ENDPOINT: &str = "PACELINE_TEST_KINESIS";
/// The most records that a `PutRecords` may have.
const MAX_PUT: usize = 500;
/// How long a stream may take to change: `scripts/local-aws` sets 20 ms, and the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a stream that changes. There is no event for its end.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// Where kinesis-local listens: `http://127.0.0.1:PORT`.
///
/// # Panics
///
/// If nobody has started it, with advice.
pub fn endpoint() -> String {
    std::env::var(ENDPOINT).unwrap_or_else(|_| {
        panic!(
            "this test needs kinesis-local, and {ENDPOINT} does not say where it listens: run `make test`, or \
             `scripts/local-aws cargo nextest run`, which start it"
        )
    })
}

/// A client that tries each request once, so that a test sees every failure itself.
pub fn client(endpoint: &str) -> Client {
    // Plain HTTP. The usual client would read the machine's certificates first.
    client_through(endpoint, HttpBuilder::new().build_http())
}

/// Likewise by TLS and HTTP/2, trusting nothing but a certificate: [`crate::proxy::FaultProxy::certificate_file`].
///
/// # Panics
///
/// If the file is no certificate.
pub fn client_trusting(endpoint: &str, certificate: &Path) -> Client {
    let certificate = std::fs::read(certificate).expect("a certificate that can be read");
    let trusted = TrustStore::empty().with_pem_certificate(certificate);
    let context = TlsContext::builder().with_trust_store(trusted).build().expect("a certificate in PEM");
    let http = HttpBuilder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(context).build_https();
    client_through(endpoint, http)
}

/// Likewise, trusting what this machine trusts, or `SSL_CERT_FILE`: as a program does.
pub fn client_native(endpoint: &str) -> Client {
    client_through(endpoint, HttpBuilder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https())
}

fn client_through(endpoint: &str, http: impl HttpClient + 'static) -> Client {
    let config = Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .endpoint_url(endpoint)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "paceline-testbed"))
        .retry_config(RetryConfig::disabled())
        // A subscription to a shard without records is silent for seconds, and well.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .http_client(http)
        .build();
    Client::from_conf(config)
}

/// A stream in kinesis-local that nobody else uses. It stays when dropped, as the server ends with the tests.
///
/// Everything here panics when kinesis-local refuses it.
#[derive(Clone, Debug)]
pub struct TestStream {
    name: String,
    arn: String,
    client: Client,
}

/// Where a record was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The shard that took it.
    pub shard: String,
    /// Its sequence number.
    pub sequence: String,
}

impl TestStream {
    /// A new stream of so many shards, when it is active. Its name begins with `name`.
    pub async fn new(name: &str, shards: i32) -> Self {
        let client = client(&endpoint());
        let name = crate::dynamodb::unique(name);
        client.create_stream().stream_name(&name).shard_count(shards).send().await.expect("a stream can be created");
        let summary = client.describe_stream_summary().stream_name(&name).send().await.expect("it can be described");
        let arn = summary.stream_description_summary().expect("a description").stream_arn().to_owned();
        let stream = Self { name, arn, client };
        stream.until_active().await;
        stream
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its ARN.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// A client straight to kinesis-local, for what is not here.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// All its shards, closed ones too, in the order of their numbers.
    pub async fn shards(&self) -> Vec<Shard> {
        let mut shards = Vec::new();
        let mut answer = self.client.list_shards().stream_name(&self.name).send().await.expect("shards can be listed");
        loop {
            shards.extend(answer.shards().iter().cloned());
            let Some(next) = answer.next_token() else { break };
            answer = self.client.list_shards().next_token(next).send().await.expect("there is a next page");
        }
        shards.sort_by(|a, b| a.shard_id().cmp(b.shard_id()));
        shards
    }

    /// The shards that take records.
    pub async fn open_shards(&self) -> Vec<Shard> {
        let mut shards = self.shards().await;
        shards.retain(|shard| !is_closed(shard));
        shards
    }

    /// Splits a shard in the middle of its hashes; the names of its children, the lower one first.
    pub async fn split(&self, shard: &str) -> [String; 2] {
        let (start, end) =
            hashes(self.shards().await.iter().find(|other| other.shard_id() == shard).expect("that shard"));
        let middle = start + (end - start) / 2 + 1;
        let request = self.client.split_shard().stream_name(&self.name).shard_to_split(shard);
        request.new_starting_hash_key(middle.to_string()).send().await.expect("the shard can be split");
        self.until_active().await;
        let mut children = self.children(shard).await;
        children.sort_by_key(|child| hashes(child).0);
        let names: Vec<String> = children.into_iter().map(|child| child.shard_id).collect();
        names.try_into().expect("a split shard has two children")
    }

    /// Merges two neighbouring shards; the name of their child.
    pub async fn merge(&self, a: &str, b: &str) -> String {
        let request = self.client.merge_shards().stream_name(&self.name);
        request.shard_to_merge(a).adjacent_shard_to_merge(b).send().await.expect("the shards can be merged");
        self.until_active().await;
        let mut children = self.children(a).await;
        children.pop().expect("a merged shard has a child").shard_id
    }

    /// Splits and merges until there are so many open shards, of the same width.
    pub async fn update_shard_count(&self, shards: i32) {
        let request = self.client.update_shard_count().stream_name(&self.name).target_shard_count(shards);
        request.scaling_type(ScalingType::UniformScaling).send().await.expect("the number of shards can be changed");
        self.until_active().await;
        assert_eq!(self.open_shards().await.len(), usize::try_from(shards).expect("some shards"));
    }

    /// Puts records, each with its partition key, in this order; where they went.
    pub async fn put<K: Into<String>, D: Into<Vec<u8>>>(
        &self,
        records: impl IntoIterator<Item = (K, D)>,
    ) -> Vec<Placed> {
        let entry = |(key, data): (K, D)| {
            let entry = PutRecordsRequestEntry::builder().partition_key(key).data(Blob::new(data));
            entry.build().expect("a key and data")
        };
        self.put_entries(records.into_iter().map(entry).collect()).await
    }

    /// Puts records into one open shard, whatever their key says; where they went.
    pub async fn put_into<D: Into<Vec<u8>>>(&self, shard: &str, records: impl IntoIterator<Item = D>) -> Vec<Placed> {
        let shards = self.shards().await;
        let (start, _) = hashes(shards.iter().find(|other| other.shard_id() == shard).expect("that shard"));
        let entry = |data: D| {
            let entry = PutRecordsRequestEntry::builder().partition_key("key").explicit_hash_key(start.to_string());
            entry.data(Blob::new(data)).build().expect("a key and data")
        };
        self.put_entries(records.into_iter().map(entry).collect()).await
    }

    async fn put_entries(&self, entries: Vec<PutRecordsRequestEntry>) -> Vec<Placed> {
        let mut placed = Vec::with_capacity(entries.len());
        for batch in entries.chunks(MAX_PUT) {
            let request = self.client.put_records().stream_name(&self.name).set_records(Some(batch.to_vec()));
            let answer = request.send().await.expect("records can be put");
            placed.extend(answer.records().iter().map(|record| Placed {
                shard: record.shard_id().expect("kinesis-local takes every record").to_owned(),
                sequence: record.sequence_number().expect("a shard comes with a number").to_owned(),
            }));
        }
        placed
    }

    /// The records that a shard has now, from its oldest.
    pub async fn read(&self, shard: &str) -> Vec<Record> {
        let request = self.client.get_shard_iterator().stream_name(&self.name).shard_id(shard);
        let answer = request.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.expect("an iterator");
        let mut iterator = answer.shard_iterator;
        let mut records = Vec::new();
        // A closed shard's last answer has no iterator; an open one's last for now is not behind.
        while let Some(from) = iterator {
            let answer = self.client.get_records().shard_iterator(from).send().await.expect("records can be read");
            let at_tip = answer.records().is_empty() && answer.millis_behind_latest() == Some(0);
            records.extend(answer.records);
            iterator = answer.next_shard_iterator.filter(|_| !at_tip);
        }
        records
    }

    /// Registers a consumer for subscriptions; its ARN, when it is active.
    pub async fn register_consumer(&self, name: &str) -> String {
        let request = self.client.register_stream_consumer().stream_arn(&self.arn).consumer_name(name);
        let answer = request.send().await.expect("a consumer can be registered");
        let arn = answer.consumer().expect("the answer names the consumer").consumer_arn().to_owned();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.client.describe_stream_consumer().consumer_arn(&arn).send().await.expect("a description");
            if answer.consumer_description().expect("a description").consumer_status() == &ConsumerStatus::Active {
                return arn;
            }
            assert!(Instant::now() < deadline, "the consumer {arn} does not become active");
            sleep(BETWEEN_LOOKS).await;
        }
    }

    async fn until_active(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.client.describe_stream_summary().stream_name(&self.name).send().await;
            let summary = answer.expect("it can be described").stream_description_summary.expect("a description");
            if summary.stream_status() == &StreamStatus::Active {
                return;
            }
            assert!(Instant::now() < deadline, "{} stays {}", self.name, summary.stream_status());
            sleep(BETWEEN_LOOKS).await;
        }
    }

    async fn children(&self, parent: &str) -> Vec<Shard> {
        let mut shards = self.shards().await;
        shards.retain(|shard| [shard.parent_shard_id(), shard.adjacent_parent_shard_id()].contains(&Some(parent)));
        shards
    }
}

/// Whether a shard takes no more records, since it was split or merged.
pub fn is_closed(shard: &Shard) -> bool {
    shard.sequence_number_range().is_some_and(|range| range.ending_sequence_number().is_some())
}

/// The first and the last hash that a shard takes.
///
/// # Panics
///
/// If they are no numbers.
pub fn hashes(shard: &Shard) -> (u128, u128) {
    let range = shard.hash_key_range().expect("every shard has a range of hashes");
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("a hash is a number of 128 bits: {text}"));
    (number(range.starting_hash_key()), number(range.ending_hash_key()))
}
