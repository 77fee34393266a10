//! The fault proxy between Amazon's client and kinesis-local: subscriptions, and TLS with HTTP/2, which they come by.

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

/// The variable by which a test tells its other half where the proxy is.
const PROXY: &str = "PACELINE_TEST_PROXY";

/// A stream of one shard behind a proxy, with a registered consumer.
struct Bed {
    stream: TestStream,
    shard: String,
    consumer: String,
    proxy: FaultProxy,
    client: Client,
}

/// What was seen of a subscription, until it ended.
struct Seen {
    /// The data of all records.
    texts: Vec<String>,
    events: usize,
    last: Option<SubscribeToShardEvent>,
    /// It ended in good order.
    orderly: bool,
}

impl Bed {
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

async fn to_its_end(mut subscription: SubscribeToShardOutput) -> Seen {
    let mut seen = Seen { texts: Vec::new(), events: 0, last: None, orderly: false };
    loop {
        match subscription.event_stream.recv().await {
            Ok(Some(Event::SubscribeToShardEvent(event))) => {
                seen.events += 1;
                seen.texts.extend(texts(&event));
                seen.last = Some(event);
            }
            Ok(Some(other)) => panic!("{other:?}"),
            Ok(None) => {
                seen.orderly = true;
                return seen;
            }
            Err(_) => return seen,
        }
    }
}

#[tokio::test]
async fn events_go_through_one_by_one_as_they_come() {
    let bed = Bed::new(KinesisFaults::default(), false).await;
    bed.put(&["1", "2"]).await;
    let mut subscription = bed.subscribe().await;
    assert_eq!(texts(&next(&mut subscription).await), ["1", "2"]);
    // The next is put when the one before has been seen: nothing is kept back.
    bed.put(&["3"]).await;
    let mut event = next(&mut subscription).await;
    while event.records().is_empty() {
        event = next(&mut subscription).await;
    }
    assert_eq!(texts(&event), ["3"]);
    assert_eq!(bed.proxy.counts().requests("SubscribeToShard"), 1);
}

#[tokio::test]
async fn a_subscription_is_cut_after_so_many_events_or_by_chance() {
    let bed = Bed::new(KinesisFaults { cut_after: Some(2), ..KinesisFaults::default() }, false).await;
    bed.put(&["1"]).await;
    let seen = to_its_end(bed.subscribe().await).await;
    assert_eq!((seen.events, seen.orderly, seen.texts), (2, false, vec!["1".to_owned()]));

    // The settings of the moment count, for a subscription that is open too.
    let other = Bed::new(KinesisFaults::default(), true).await;
    let mut subscription = other.subscribe().await;
    next(&mut subscription).await;
    let kinesis = KinesisFaults { cut: 1.0, ..KinesisFaults::default() };
    other.proxy.set_faults(Faults { kinesis, ..Faults::default() });
    let seen = to_its_end(subscription).await;
    assert_eq!((seen.events, seen.orderly), (0, false));
    assert_eq!(
        (bed.proxy.counts().injected.cut_subscriptions, other.proxy.counts().injected.cut_subscriptions),
        (1, 1)
    );
}

#[tokio::test]
async fn a_subscription_ends_in_good_order_after_events_or_time() {
    let bed = Bed::new(KinesisFaults { end_after: Some(1), ..KinesisFaults::default() }, false).await;
    let seen = to_its_end(bed.subscribe().await).await;
    assert_eq!((seen.events, seen.orderly), (1, true));

    let time = Duration::from_millis(1_500);
    let other = Bed::new(KinesisFaults { end_when: Some(time), ..KinesisFaults::default() }, true).await;
    let start = Instant::now();
    let seen = to_its_end(other.subscribe().await).await;
    assert!(seen.orderly && start.elapsed() >= time, "{:?}", start.elapsed());
    assert_eq!(bed.proxy.counts().injected.ended_subscriptions, 1);
    assert_eq!(other.proxy.counts().injected.ended_subscriptions, 1);
}

#[tokio::test]
async fn a_subscription_ends_with_its_shard_and_names_the_children() {
    let bed = Bed::new(KinesisFaults { end_with_shard: true, ..KinesisFaults::default() }, false).await;
    bed.put(&["1"]).await;
    let mut subscription = bed.subscribe().await;
    assert_eq!(texts(&next(&mut subscription).await), ["1"]);
    bed.put(&["2", "3"]).await;
    let children = bed.stream.split(&bed.shard).await;
    let seen = to_its_end(subscription).await;
    assert!(seen.orderly);
    assert_eq!(seen.texts, ["2", "3"]);
    let last = seen.last.unwrap();
    assert_eq!((last.records().len(), last.millis_behind_latest(), last.continuation_sequence_number()), (0, 0, ""));
    let named: Vec<_> = last.child_shards().iter().map(|child| child.shard_id().to_owned()).collect();
    assert_eq!(named, children);
    for child in last.child_shards() {
        assert_eq!(child.parent_shards(), std::slice::from_ref(&bed.shard));
        assert!(child.hash_key_range().is_some());
    }
    assert_eq!(bed.proxy.counts().injected.ended_shards, 1);
}

#[tokio::test]
async fn a_subscription_to_a_shard_that_ended_empty_ends_at_once() {
    let bed = Bed::new(KinesisFaults { end_with_shard: true, ..KinesisFaults::default() }, false).await;
    let child = bed.stream.split(&bed.shard).await;
    let seen = to_its_end(bed.subscribe().await).await;
    assert!(seen.orderly && seen.texts.is_empty());
    assert_eq!(seen.last.unwrap().child_shards().len(), child.len());
}

#[tokio::test]
async fn a_second_subscription_of_one_consumer_is_refused_by_its_first_event() {
    let bed = Bed::new(KinesisFaults::default(), false).await;
    let mut first = bed.subscribe().await;
    next(&mut first).await;
    let error = bed.subscribe().await.event_stream.recv().await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_resource_in_use_exception(), "{error:?}");
}

#[tokio::test]
async fn by_tls_the_client_speaks_http_2() {
    let bed = Bed::new(KinesisFaults { cut_after: Some(1), ..KinesisFaults::default() }, true).await;
    bed.put(&["1"]).await;
    let mut subscription = bed.subscribe().await;
    // Others go on beside it, on the same connection.
    for _ in 0..3 {
        bed.client.list_shards().stream_name(bed.stream.name()).send().await.unwrap();
    }
    assert_eq!(texts(&next(&mut subscription).await), ["1"]);
    assert!(!to_its_end(subscription).await.orderly);
    // The stream was cut, not the connection.
    bed.client.list_shards().stream_name(bed.stream.name()).send().await.unwrap();
    let counts = bed.proxy.counts();
    assert_eq!(counts.by_version, BTreeMap::from([("HTTP/2.0".to_owned(), 5)]));

    bed.proxy.set_faults(Faults { reset_before: 1.0, ..Faults::default() });
    let error = bed.client.list_shards().stream_name(bed.stream.name()).send().await.unwrap_err();
    assert!(error.raw_response().is_none(), "{error:?}");
    assert_eq!(bed.proxy.counts().injected.resets_before, 1);
    bed.proxy.set_faults(Faults::default());
    bed.client.list_shards().stream_name(bed.stream.name()).send().await.unwrap();
}

/// A program trusts the certificate by its environment. This test is the program, too: it starts itself.
#[tokio::test]
async fn a_program_trusts_the_proxy_by_its_environment() {
    if let Ok(proxy) = std::env::var(PROXY) {
        client_native(&proxy).list_streams().send().await.unwrap();
        return;
    }
    let proxy = FaultProxy::start_tls(&endpoint(), Faults::default(), 1);
    let program = |trusted| {
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["--exact", "a_program_trusts_the_proxy_by_its_environment"]).env(PROXY, proxy.endpoint());
        if trusted {
            program.env("SSL_CERT_FILE", proxy.certificate_file());
        }
        program.output().unwrap().status.success()
    };
    assert!(program(true));
    assert!(!program(false));
    assert_eq!(proxy.counts().by_version, BTreeMap::from([("HTTP/2.0".to_owned(), 1)]));
}
