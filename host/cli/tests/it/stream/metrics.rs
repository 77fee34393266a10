//! The endpoints of a running consumer, `/metrics`, `/healthz` and `/readyz`, and its logs.

use std::time::{Duration, Instant};

use paceline_simulator::PartitionKey;
use paceline_testbed::otlp::Collector;
use paceline_testbed::outcome::DedupMode;
use paceline_testbed::poll::pause;
use paceline_testbed::proxy::{FaultProxy, Faults};
use paceline_testbed::require;
use paceline_testbed::{dynamodb, kinesis};

use crate::stream::deployment::{Deployment, signal};
use crate::stream::race::messages;

#[test]
fn the_metrics_match_the_race() {
    require!(Plugins, DynamoDbLocal, KinesisLocal);
    let deployment = Deployment::new(DedupMode::Ordinal, 2);
    let messages = messages(PartitionKey::Racer, 5);
    let bytes: usize = messages.iter().map(|message| message.payload.len()).sum();
    let mut running = deployment.start_without_proxies();
    running.wait_until_ready();
    deployment.put(&messages);
    deployment.wait_until_done();
    assert_eq!(running.get("/healthz"), (200, "alive\n".to_owned()));
    assert_eq!(running.get("/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(running.get("/elsewhere").0, 404);

    let dead = deployment.outcome().dead_letters.len() as f64;
    for (name, value) in [
        ("paceline_records_total", messages.len() as f64),
        ("paceline_stream_records_total", messages.len() as f64),
        ("paceline_stream_bytes_total", bytes as f64),
        ("paceline_dead_letters_total", dead),
        ("paceline_expired_hours", 0.0),
        // One of the states of each shard.
        ("paceline_shard_state", 2.0),
    ] {
        assert_eq!(running.metric(name), value, "{name}");
    }
    assert!(dead > 0.0);
    for name in ["paceline_batches_total", "paceline_batch_seconds_count", "paceline_store_requests_total"] {
        assert!(running.metric(name) >= 2.0, "{name}");
    }
    let (_, text) = running.get("/metrics");
    let reading = format!(r#"paceline_shard_state{{shard="{}",state="reading"}} 1"#, "shardId-000000000000");
    assert!(text.contains(&reading), "{text}");
    assert!(text.contains(r#"paceline_iterator_age_seconds{shard="shardId-000000000001"} "#), "{text}");
    assert!(running.metric("paceline_iterator_age_seconds") < 4.0);

    // After a stop every record is covered by a checkpoint: none is delivered again.
    running.stop();
    let mut again = deployment.start_without_proxies();
    again.wait_until_ready();
    assert_eq!(again.metric("paceline_stream_records_total"), 0.0);
    assert_eq!(again.stop()["records"], 0);
}

#[test]
fn a_consumer_without_store_or_stream_is_alive_and_not_ready() {
    require!(Plugins, DynamoDbLocal, KinesisLocal);
    let deployment = Deployment::new(DedupMode::Ordinal, 1);
    let store = FaultProxy::start(&dynamodb::endpoint(), Faults::default(), 0);
    let stream = FaultProxy::start(&kinesis::endpoint(), Faults::default(), 0);
    let mut running = deployment.start(&stream.endpoint(), &store.endpoint());
    running.wait_until_ready();
    store.set_faults(Faults { server_error: 1.0, ..Faults::default() });
    let (status, why) = running.get("/readyz");
    assert_eq!(status, 503, "{why}");
    assert!(why.starts_with("not ready: the DynamoDB table"), "{why}");
    assert_eq!(running.get("/healthz").0, 200);

    store.set_faults(Faults::default());
    stream.set_faults(Faults { server_error: 1.0, ..Faults::default() });
    // The next request for the shard's records fails.
    running.process.wait_for("retrying");
    let (status, why) = running.get("/readyz");
    assert_eq!((status, why.as_str()), (503, "not ready: shardId-000000000000 is failing\n"));
    stream.set_faults(Faults::default());
    running.wait_until_ready();
    running.stop();
}

/// A supervisor starts a process anew that reads nothing. Before the time is over, it does not: requests fail at times.
#[test]
fn a_consumer_that_reads_no_shard_is_not_alive_after_a_while() {
    require!(Plugins, DynamoDbLocal, KinesisLocal);
    let deployment = Deployment::new(DedupMode::Ordinal, 1);
    let stream = FaultProxy::start(&kinesis::endpoint(), Faults::default(), 0);
    let config = std::fs::read_to_string(deployment.path("paceline.toml")).unwrap();
    assert!(config.contains("\n[serve]\n"), "{config}");
    deployment.write("paceline.toml", &config.replace("\n[serve]\n", "\n[serve]\nunread-ms = 1000\n"));
    let mut running = deployment.start(&stream.endpoint(), &dynamodb::endpoint());
    running.wait_until_ready();
    assert_eq!(running.get("/healthz"), (200, "alive\n".to_owned()));
    stream.set_faults(Faults { server_error: 1.0, ..Faults::default() });
    running.process.wait_for("retrying");
    assert_eq!(running.get("/healthz").0, 200, "a request that failed is no standstill");
    let deadline = Instant::now() + Duration::from_secs(60);
    let why = loop {
        match running.get("/healthz") {
            (503, why) => break why,
            (status, text) => assert!(Instant::now() < deadline, "{status}: {text}"),
        }
        pause(Duration::from_millis(50));
    };
    assert!(why.starts_with("not alive: no shard has been read for 1 s: shardId-000000000000 is failing"), "{why}");
    stream.set_faults(Faults::default());
    running.wait_until_ready();
    assert_eq!(running.get("/healthz").0, 200);
    running.stop();
}

#[test]
fn logs_are_json_on_request() {
    require!(Plugins, DynamoDbLocal, KinesisLocal);
    let deployment = Deployment::new(DedupMode::Ordinal, 1);
    let endpoints = (kinesis::endpoint(), dynamodb::endpoint());
    let running = deployment.start_with(&endpoints.0, &endpoints.1, &[("PACELINE_LOG", "json")]);
    let line = running.process.wait_for("from its oldest record");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["level"], &line["shard"]), (&"INFO".into(), &"shardId-000000000000".into()));
    running.stop();
}

#[test]
fn log_lines_of_a_batch_name_its_shard_and_its_first_record() {
    require!(Plugins, DynamoDbLocal, KinesisLocal);
    let deployment = Deployment::new(DedupMode::Ordinal, 1);
    let config = std::fs::read_to_string(deployment.path("paceline.toml")).unwrap();
    // Short, and yet long enough for a batch's writes on a busy machine.
    deployment.write("paceline.toml", &config.replace("\n[retry]\n", "\n[retry]\ndeadline-ms = 1000\n"));
    let store = FaultProxy::start(&dynamodb::endpoint(), Faults::default(), 0);
    let variables = [("PACELINE_LOG", "json"), ("RUST_LOG", "warn,paceline::serve=info")];
    let mut running = deployment.start_with(&kinesis::endpoint(), &store.endpoint(), &variables);
    running.wait_until_ready();
    store.set_faults(Faults { throttle: 1.0, ..Faults::default() });
    deployment.put(&messages(PartitionKey::Racer, 1));
    let line = running.process.wait_for("the batch is not committed yet");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let span = &line["span"];
    assert_eq!((&span["name"], span["shard"].as_str()), (&"batch".into(), line["shard"].as_str()), "{line}");
    assert!(span["batch"].as_str().is_some_and(|first| first.len() > 20), "{line}");
    store.set_faults(Faults::default());
    deployment.wait_until_done();
    running.stop();
}

#[test]
fn batches_are_traces_with_their_stages() {
    require!(Plugins, DynamoDbLocal, KinesisLocal);
    let deployment = Deployment::new(DedupMode::Ordinal, 2);
    let mut collector = Collector::start();
    let endpoints = (kinesis::endpoint(), dynamodb::endpoint());
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.endpoint())];
    let mut running = deployment.start_with(&endpoints.0, &endpoints.1, &variables);
    running.wait_until_ready();
    let messages = messages(PartitionKey::Racer, 5);
    deployment.put(&messages);
    deployment.wait_until_done();
    running.stop();
    let committed = |span: &serde_json::Value| -> u64 {
        let attributes = span["attributes"].as_array().into_iter().flatten();
        let committed = attributes.filter(|attribute| attribute["key"] == "paceline.committed");
        committed.map(|committed| committed["value"]["intValue"].as_str().unwrap().parse::<u64>().unwrap()).sum()
    };
    let is_all = |spans: &[serde_json::Value]| spans.iter().map(committed).sum::<u64>() == messages.len() as u64;
    let spans = collector.wait_for(is_all);
    let batches: Vec<_> = spans.iter().filter(|span| span["name"] == "batch").collect();
    assert!(batches.len() >= 2 && batches.iter().all(|batch| batch["service"] == "paceline"), "{batches:#?}");
    for batch in batches {
        let children: Vec<_> = spans.iter().filter(|span| span["parentSpanId"] == batch["spanId"]).collect();
        let nanos = |span: &serde_json::Value, at: &str| span[at].as_str().unwrap().parse::<u64>().unwrap();
        for child in &children {
            assert_eq!(child["traceId"], batch["traceId"]);
            assert!(nanos(child, "startTimeUnixNano") >= nanos(batch, "startTimeUnixNano"), "{child}: {batch}");
            assert!(nanos(child, "endTimeUnixNano") <= nanos(batch, "endTimeUnixNano"), "{child}: {batch}");
        }
        for stage in ["project", "route", "commit", "acknowledge"] {
            assert!(children.iter().any(|child| child["name"] == stage), "{stage} is not in {children:#?}");
        }
    }
}

#[test]
fn traces_go_over_tls_with_the_headers_of_the_environment() {
    require!(Plugins, DynamoDbLocal, KinesisLocal);
    let deployment = Deployment::new(DedupMode::Ordinal, 1);
    let mut collector = Collector::start_requiring("authorization", "Bearer of-a-secret");
    let proxy = FaultProxy::start_tls(&collector.endpoint(), Faults::default(), 0);
    let certificate = proxy.certificate_file().display().to_string();
    let endpoints = (kinesis::endpoint(), dynamodb::endpoint());
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*proxy.endpoint()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20of-a-secret"),
        ("SSL_CERT_FILE", &certificate),
    ];
    let mut running = deployment.start_with(&endpoints.0, &endpoints.1, &variables);
    running.wait_until_ready();
    deployment.put(&messages(PartitionKey::Racer, 1));
    deployment.wait_until_done();
    running.stop();
    let spans = collector.wait_for(|spans| !spans.is_empty());
    assert!(spans.iter().any(|span| span["name"] == "batch"), "{spans:#?}");
}

#[test]
fn an_outage_of_the_collector_is_logged_once_and_delays_no_batch() {
    require!(Plugins, DynamoDbLocal, KinesisLocal);
    let deployment = Deployment::new(DedupMode::Ordinal, 1);
    let collector = Collector::start_requiring("authorization", "Bearer of-a-secret");
    let endpoints = (kinesis::endpoint(), dynamodb::endpoint());
    let endpoint = collector.endpoint();
    // Each span is an export of its own, so that there are many requests of one outage.
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")];
    let mut running = deployment.start_with(&endpoints.0, &endpoints.1, &variables);
    running.wait_until_ready();
    deployment.put(&messages(PartitionKey::Racer, 5));
    deployment.wait_until_done();
    signal(&running.process.child, "TERM");
    let log: Vec<String> = running.process.stderr_lines.iter().collect();
    let lines: Vec<_> = log.iter().filter(|line| line.contains("the collector takes no traces")).collect();
    let [line] = &lines[..] else { panic!("{log:#?}") };
    assert!(line.contains(&format!("POST {endpoint}/v1/traces: it answered 401 Unauthorized")), "{line}");
}

#[test]
fn a_port_in_use_is_reported() {
    require!(Plugins, DynamoDbLocal, KinesisLocal);
    let deployment = Deployment::new(DedupMode::Ordinal, 1);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let endpoints = (kinesis::endpoint(), dynamodb::endpoint());
    let mut running = deployment.start_with(&endpoints.0, &endpoints.1, &[("PACELINE_LISTEN", &address)]);
    assert_eq!(running.process.child.wait().unwrap().code(), Some(1));
    let stderr: Vec<String> = running.process.stderr_lines.iter().collect();
    assert!(stderr.last().unwrap().contains(&format!("{address} can't be listened on")), "{stderr:?}");
}

/// At each start the server answers before the shards are known. It must not be ready before every shard is being read.
#[test]
fn the_consumer_is_not_ready_before_every_shard_is_read() {
    require!(Plugins, DynamoDbLocal, KinesisLocal);
    let deployment = Deployment::new(DedupMode::Ordinal, 2);
    for start in 0..15 {
        let mut running = deployment.start_without_proxies();
        let mut answers = Vec::new();
        loop {
            let (status, why) = running.get("/readyz");
            answers.push(why);
            if status == 200 {
                break;
            }
            assert!(answers.len() < 1_000_000, "the consumer is never ready: {:?}", answers.last());
        }
        let (_, metrics) = running.get("/metrics");
        for shard in ["shardId-000000000000", "shardId-000000000001"] {
            let reading = format!(r#"paceline_shard_state{{shard="{shard}",state="reading"}} 1"#);
            assert!(
                metrics.contains(&reading),
                "start {start}: ready after {answers:?}, and {shard} is not: {metrics}"
            );
        }
        running.process.kill();
    }
}
