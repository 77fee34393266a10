//! The table matches the oracle in spite of service errors, resharding, and killed consumers.

use paceline_testbed::require;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use paceline_simulator::PartitionKey;
use paceline_testbed::kinesis::TestStream;
use paceline_testbed::outcome::{DedupMode, Message, block_on};
use paceline_testbed::proxy::{FaultProxy, Faults, KinesisFaults, KinesisLimits};
use paceline_testbed::{dynamodb, kinesis};

use crate::stream::deployment::Deployment;
use crate::stream::race::messages;

/// How the consumer reads the shards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ReadMode {
    Polling,
    FanOut,
}

/// Errors in a tenth of all requests to the store.
fn store_faults() -> Faults {
    Faults {
        throttle: 0.04,
        server_error: 0.02,
        reset_before: 0.02,
        reset_after: 0.02,
        partial: 0.05,
        ..Faults::default()
    }
}

/// Errors in a tenth of all requests to the stream, expired iterators, subscriptions that are cut or end, and a shard's
/// limits.
fn stream_faults() -> Faults {
    Faults {
        throttle: 0.04,
        server_error: 0.02,
        reset_before: 0.02,
        reset_after: 0.02,
        delay: 0.05,
        delay_ms: (10, 200),
        kinesis: KinesisFaults {
            limits: Some(KinesisLimits::default()),
            expired_iterator: 0.05,
            cut: 0.05,
            end_when: Some(Duration::from_secs(2)),
            end_with_shard: true,
            ..KinesisFaults::default()
        },
        ..Faults::default()
    }
}

/// Puts the messages in five parts, and reshards between them.
async fn put_and_reshard(stream: &TestStream, messages: &[Message], rng: &mut fastrand::Rng) {
    for (at, piece) in messages.chunks(messages.len().div_ceil(5)).enumerate() {
        let open = stream.open_shards().await;
        match at {
            // First, while the hash ranges are equal: kinesis-local handles unequal ones wrongly.
            1 => stream.update_shard_count(4).await,
            2 => {
                let mut open = open;
                open.sort_by_key(|shard| kinesis::hashes(shard).0);
                let at = rng.usize(..open.len() - 1);
                stream.merge(open[at].shard_id(), open[at + 1].shard_id()).await;
            }
            3 => drop(stream.split(open[rng.usize(..open.len())].shard_id()).await),
            _ => {}
        }
        stream.put(piece.iter().map(|message| (message.key.as_str(), message.payload.as_slice()))).await;
    }
}

/// One race with the faults and kills of one seed.
fn run(seed: u64, dedup: DedupMode, mode: ReadMode) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let deployment = Deployment::new(dedup, 2);
    let consumer = if mode == ReadMode::FanOut { "consumer = \"fan-out\"" } else { "" };
    deployment.configure(&format!("{consumer}\nread-ahead-bytes = 65536"), "");
    let key = if dedup == DedupMode::Ordinal { PartitionKey::Random } else { PartitionKey::Racer };
    let messages = messages(key, seed as u32);

    let stream = match mode {
        ReadMode::Polling => FaultProxy::start(&kinesis::endpoint(), stream_faults(), seed),
        ReadMode::FanOut => FaultProxy::start_tls(&kinesis::endpoint(), stream_faults(), seed),
    };
    let store = FaultProxy::start(&dynamodb::endpoint(), store_faults(), seed);
    // The current consumer is killed after `left` more requests to either service.
    let (left, victim) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    for proxy in [&stream, &store] {
        let (left, victim) = (Arc::clone(&left), Arc::clone(&victim));
        proxy.on_request(move |_, _| {
            let before = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if before == Ok(1) {
                let pid = victim.load(Ordering::SeqCst).to_string();
                let _ = std::process::Command::new("kill").args(["-s", "KILL", &pid]).status();
            }
        });
    }
    let certificate = match mode {
        ReadMode::Polling => String::new(),
        ReadMode::FanOut => stream.certificate_file().display().to_string(),
    };
    let start = || deployment.start_with(&stream.endpoint(), &store.endpoint(), &[("SSL_CERT_FILE", &certificate)]);

    std::thread::scope(|scope| {
        let mut draws = rng.fork();
        let producing = scope.spawn({
            let (stream, messages) = (&deployment.stream, &messages);
            move || block_on(put_and_reshard(stream, messages, &mut draws))
        });
        for _ in 0..3 {
            let mut running = start();
            victim.store(running.process.child.id().into(), Ordering::SeqCst);
            left.store(rng.u64(10..80), Ordering::SeqCst);
            let status = running.process.child.wait().unwrap();
            assert!(!status.success() && status.code().is_none(), "seed {seed}: the consumer was not killed: {status}");
        }
        producing.join().unwrap();
    });
    let running = start();
    deployment.wait_until_done();
    deployment.outcome().must_be(&deployment.local(&messages), &format!("seed {seed}"));
    running.stop();
    let (stream, store) = (stream.counts(), store.counts());
    assert!(stream.injected.total() > 0 && store.injected.total() > 0, "seed {seed}: {stream:?} {store:?}");
    if mode == ReadMode::FanOut {
        let injected = &stream.injected;
        assert!(injected.cut_subscriptions + injected.ended_subscriptions > 0, "seed {seed}: {injected:?}");
        assert!(injected.ended_shards > 0, "seed {seed}: {injected:?}");
        assert!(stream.by_version.get("HTTP/2.0").is_some_and(|requests| *requests > 0), "{:?}", stream.by_version);
    }
}

#[test]
fn a_connection_that_falls_silent_is_replaced() {
    require!(Plugins, DynamoDbLocal, KinesisLocal);
    let deployment = Deployment::new(DedupMode::Ordinal, 1);
    deployment.configure("request-ms = 1000", "");
    let messages = messages(PartitionKey::Random, 31);
    let (before, after) = messages.split_at(messages.len() / 2);
    let put = |part: &[Message]| {
        block_on(deployment.stream.put(part.iter().map(|it| (it.key.as_str(), it.payload.as_slice()))));
    };
    let stream = FaultProxy::start_tls(&kinesis::endpoint(), Faults::default(), 31);
    let certificate = stream.certificate_file().display().to_string();
    let mut running =
        deployment.start_with(&stream.endpoint(), &dynamodb::endpoint(), &[("SSL_CERT_FILE", &certificate)]);
    put(before);
    deployment.wait_until_done();
    // Requests of HTTP/2 share a connection, so that a new request does not open another one.
    stream.freeze_connections();
    put(after);
    deployment.wait_until_done();
    deployment.outcome().must_be(&deployment.local(&messages), "after the connection fell silent");
    assert!(running.metric("paceline_stream_retries_total") >= 2.0, "requests timed out");
    assert!(stream.counts().by_version.keys().eq(["HTTP/2.0"]), "{:?}", stream.counts().by_version);
    running.stop();
}

/// Runs two seeds, or more in a soak test. Fan-out has one, because kinesis-local takes about ten seconds to notice
/// that a subscriber is gone.
fn seeds(first: u64, dedup: DedupMode, mode: ReadMode) {
    let usual = if mode == ReadMode::Polling { 2 } else { 1 };
    let seeds = std::env::var("PACELINE_SOAK_SEEDS").map_or(usual, |seeds| seeds.parse().expect("a number of seeds"));
    (first * seeds..(first + 1) * seeds).for_each(|seed| run(seed, dedup, mode));
}

macro_rules! seeds {
    ($($name:ident: $first:literal, $dedup:ident, $mode:ident;)*) => {
        $(#[test]
        fn $name() {
            require!(Plugins, DynamoDbLocal, KinesisLocal);
            seeds($first, DedupMode::$dedup, ReadMode::$mode);
        })*
    };
}

seeds! {
    random_keys_with_ordinal_dedup_by_polling_0: 0, Ordinal, Polling;
    random_keys_with_ordinal_dedup_by_polling_1: 1, Ordinal, Polling;
    racer_keys_with_sequence_dedup_by_polling_2: 2, Sequence, Polling;
    racer_keys_with_sequence_dedup_by_polling_3: 3, Sequence, Polling;
    random_keys_with_ordinal_dedup_by_fan_out_4: 4, Ordinal, FanOut;
    racer_keys_with_sequence_dedup_by_fan_out_5: 5, Sequence, FanOut;
    racer_keys_with_sequence_dedup_by_fan_out_6: 6, Sequence, FanOut;
}
