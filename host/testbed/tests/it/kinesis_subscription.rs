//! The fault proxy between Amazon's client and kinesis-local: subscriptions, and TLS with HTTP/2, which they need.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::subscribe_to_shard::SubscribeToShardOutput;
use aws_sdk_kinesis::types::{
    ShardIteratorType, StartingPosition, SubscribeToShardEvent, SubscribeToShardEventStream as Event,
};
use paceline_testbed::kinesis::{TestStream, client, client_native, client_trusting, endpoint};
use paceline_testbed::proxy::{FaultProxy, Faults, KinesisFaults};
use paceline_testbed::require;

/// The endpoint of the proxy, for the program that a test starts.
const PROXY: &str = "PACELINE_TEST_PROXY";

/// A stream of one shard behind a proxy, with a registered consumer.
struct ProxiedShard {
    stream: TestStream,
    shard: String,
    consumer: String,
    proxy: FaultProxy,
    client: Client,
}

/// What a subscription delivered until its end.
struct Delivered {
    /// The data of all records.
    texts: Vec<String>,
    events: usize,
    last: Option<SubscribeToShardEvent>,
    /// It ended normally.
    ended_normally: bool,
}

impl ProxiedShard {
    async fn new(kinesis: KinesisFaults, tls: bool) -> Self {
        let faults = Faults { kinesis, ..Faults::default() };
        let proxy =
            if tls { FaultProxy::start_tls(&endpoint(), faults, 1) } else { FaultProxy::start(&endpoint(), faults, 1) };
        let client =
            if tls { client_trusting(&proxy.endpoint(), proxy.certificate_file()) } else { client(&proxy.endpoint()) };
        let stream = TestStream::new("subscription", 1).await;
        let shard = stream.shards().await[0].shard_id().to_owned();
        let consumer = stream.register_consumer("consumer").await;
        Self { stream, shard, consumer, proxy, client }
    }

    async fn subscribe(&self) -> SubscribeToShardOutput {
        let start = StartingPosition::builder().r#type(ShardIteratorType::TrimHorizon).build().unwrap();
        let request = self.client.subscribe_to_shard().consumer_arn(&self.consumer).shard_id(&self.shard);
        request.starting_position(start).send().await.unwrap()
    }

    async fn put(&self, texts: &[&str]) {
        self.stream.put_into(&self.shard, texts.iter().copied()).await;
    }
}

async fn next(subscription: &mut SubscribeToShardOutput) -> SubscribeToShardEvent {
    match subscription.event_stream.recv().await.unwrap() {
        Some(Event::SubscribeToShardEvent(event)) => event,
        other => panic!("{other:?}"),
    }
}

fn texts(event: &SubscribeToShardEvent) -> Vec<String> {
    event.records().iter().map(|record| String::from_utf8(record.data().as_ref().to_vec()).unwrap()).collect()
}

async fn read_to_end(mut subscription: SubscribeToShardOutput) -> Delivered {
    let mut delivered = Delivered { texts: Vec::new(), events: 0, last: None, ended_normally: false };
    loop {
        match subscription.event_stream.recv().await {
            Ok(Some(Event::SubscribeToShardEvent(event))) => {
                delivered.events += 1;
                delivered.texts.extend(texts(&event));
                delivered.last = Some(event);
            }
            Ok(Some(other)) => panic!("{other:?}"),
            Ok(None) => {
                delivered.ended_normally = true;
                return delivered;
            }
            Err(_) => return delivered,
        }
    }
}

#[tokio::test]
async fn events_are_forwarded_as_they_arrive() {
    require!(KinesisLocal);
    let proxied = ProxiedShard::new(KinesisFaults::default(), false).await;
    proxied.put(&["1", "2"]).await;
    let mut subscription = proxied.subscribe().await;
    assert_eq!(texts(&next(&mut subscription).await), ["1", "2"]);
    // The next record is put after the previous one arrived: the proxy buffers nothing.
    proxied.put(&["3"]).await;
    let mut event = next(&mut subscription).await;
    while event.records().is_empty() {
        event = next(&mut subscription).await;
    }
    assert_eq!(texts(&event), ["3"]);
    assert_eq!(proxied.proxy.counts().requests("SubscribeToShard"), 1);
}

#[tokio::test]
async fn a_subscription_is_cut_after_a_number_of_events_or_at_random() {
    require!(KinesisLocal);
    let proxied = ProxiedShard::new(KinesisFaults { cut_after: Some(2), ..KinesisFaults::default() }, false).await;
    proxied.put(&["1"]).await;
    let delivered = read_to_end(proxied.subscribe().await).await;
    assert_eq!((delivered.events, delivered.ended_normally, delivered.texts), (2, false, vec!["1".to_owned()]));

    // New settings apply to open subscriptions, too.
    let other = ProxiedShard::new(KinesisFaults::default(), true).await;
    let mut subscription = other.subscribe().await;
    next(&mut subscription).await;
    let kinesis = KinesisFaults { cut: 1.0, ..KinesisFaults::default() };
    other.proxy.set_faults(Faults { kinesis, ..Faults::default() });
    let delivered = read_to_end(subscription).await;
    assert_eq!((delivered.events, delivered.ended_normally), (0, false));
    assert_eq!(
        (proxied.proxy.counts().injected.cut_subscriptions, other.proxy.counts().injected.cut_subscriptions),
        (1, 1)
    );
}

#[tokio::test]
async fn a_subscription_ends_normally_after_a_number_of_events_or_a_time() {
    require!(KinesisLocal);
    let proxied = ProxiedShard::new(KinesisFaults { end_after: Some(1), ..KinesisFaults::default() }, false).await;
    let delivered = read_to_end(proxied.subscribe().await).await;
    assert_eq!((delivered.events, delivered.ended_normally), (1, true));

    let time = Duration::from_millis(1_500);
    let other = ProxiedShard::new(KinesisFaults { end_when: Some(time), ..KinesisFaults::default() }, true).await;
    let start = Instant::now();
    let delivered = read_to_end(other.subscribe().await).await;
    assert!(delivered.ended_normally && start.elapsed() >= time, "{:?}", start.elapsed());
    assert_eq!(proxied.proxy.counts().injected.ended_subscriptions, 1);
    assert_eq!(other.proxy.counts().injected.ended_subscriptions, 1);
}

#[tokio::test]
async fn a_subscription_ends_with_its_shard_and_names_the_children() {
    require!(KinesisLocal);
    let proxied = ProxiedShard::new(KinesisFaults { end_with_shard: true, ..KinesisFaults::default() }, false).await;
    proxied.put(&["1"]).await;
    let mut subscription = proxied.subscribe().await;
    assert_eq!(texts(&next(&mut subscription).await), ["1"]);
    proxied.put(&["2", "3"]).await;
    let children = proxied.stream.split(&proxied.shard).await;
    let delivered = read_to_end(subscription).await;
    assert!(delivered.ended_normally);
    assert_eq!(delivered.texts, ["2", "3"]);
    let last = delivered.last.unwrap();
    assert_eq!((last.records().len(), last.millis_behind_latest(), last.continuation_sequence_number()), (0, 0, ""));
    let named: Vec<_> = last.child_shards().iter().map(|child| child.shard_id().to_owned()).collect();
    assert_eq!(named, children);
    for child in last.child_shards() {
        assert_eq!(child.parent_shards(), std::slice::from_ref(&proxied.shard));
        assert!(child.hash_key_range().is_some());
    }
    assert_eq!(proxied.proxy.counts().injected.ended_shards, 1);
}

#[tokio::test]
async fn a_subscription_to_an_empty_closed_shard_ends_at_once() {
    require!(KinesisLocal);
    let proxied = ProxiedShard::new(KinesisFaults { end_with_shard: true, ..KinesisFaults::default() }, false).await;
    let child = proxied.stream.split(&proxied.shard).await;
    let delivered = read_to_end(proxied.subscribe().await).await;
    assert!(delivered.ended_normally && delivered.texts.is_empty());
    assert_eq!(delivered.last.unwrap().child_shards().len(), child.len());
}

#[tokio::test]
async fn a_second_subscription_of_one_consumer_fails_with_its_first_event() {
    require!(KinesisLocal);
    let proxied = ProxiedShard::new(KinesisFaults::default(), false).await;
    let mut first = proxied.subscribe().await;
    next(&mut first).await;
    let error = proxied.subscribe().await.event_stream.recv().await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_resource_in_use_exception(), "{error:?}");
}

#[tokio::test]
async fn with_tls_the_client_uses_http_2() {
    require!(KinesisLocal);
    let proxied = ProxiedShard::new(KinesisFaults { cut_after: Some(1), ..KinesisFaults::default() }, true).await;
    proxied.put(&["1"]).await;
    let mut subscription = proxied.subscribe().await;
    // Other requests use the same connection.
    for _ in 0..3 {
        proxied.client.list_shards().stream_name(proxied.stream.name()).send().await.unwrap();
    }
    assert_eq!(texts(&next(&mut subscription).await), ["1"]);
    assert!(!read_to_end(subscription).await.ended_normally);
    // The stream was reset, not the connection.
    proxied.client.list_shards().stream_name(proxied.stream.name()).send().await.unwrap();
    let counts = proxied.proxy.counts();
    assert_eq!(counts.by_version, BTreeMap::from([("HTTP/2.0".to_owned(), 5)]));

    proxied.proxy.set_faults(Faults { reset_before: 1.0, ..Faults::default() });
    let error = proxied.client.list_shards().stream_name(proxied.stream.name()).send().await.unwrap_err();
    assert!(error.raw_response().is_none(), "{error:?}");
    assert_eq!(proxied.proxy.counts().injected.resets_before, 1);
    proxied.proxy.set_faults(Faults::default());
    proxied.client.list_shards().stream_name(proxied.stream.name()).send().await.unwrap();
}

/// This test is also the program that trusts the certificate: it starts itself.
#[tokio::test]
async fn a_program_trusts_the_certificate_in_its_environment() {
    require!(KinesisLocal);
    if let Ok(proxy) = std::env::var(PROXY) {
        client_native(&proxy).list_streams().send().await.unwrap();
        return;
    }
    let proxy = FaultProxy::start_tls(&endpoint(), Faults::default(), 1);
    let program = |trusted| {
        let mut program = Command::new(std::env::current_exe().unwrap());
        program
            .args(["--exact", "kinesis_subscription::a_program_trusts_the_certificate_in_its_environment"])
            .env(PROXY, proxy.endpoint());
        if trusted {
            program.env("SSL_CERT_FILE", proxy.certificate_file());
        }
        program.output().unwrap().status.success()
    };
    assert!(program(true));
    assert!(!program(false));
    assert_eq!(proxy.counts().by_version, BTreeMap::from([("HTTP/2.0".to_owned(), 1)]));
}
