//! Streams and standard input as the source of a replay.

use std::time::SystemTime;

use paceline_testbed::outcome::block_on;
use paceline_testbed::{kinesis, require};
use serde_json::{Value, json};

use super::{command, message, number, output, weighted, workspace};
use crate::support::{fail, joined, simulate, succeed};

#[test]
fn standard_input_is_replayed() {
    require!(Plugins);
    let workspace = workspace(&[]);
    workspace.write("next.toml", weighted(2, "1.1"));
    let mut command = command(&workspace, "next.toml", "class-3@1", &["--from", "-", "--json"]);
    workspace.write("input.ndjson", joined(&[message(1, 1, 81.0, 79.0, true)]));
    command.stdin(std::fs::File::open(workspace.path("input.ndjson")).unwrap());
    let found: Value = serde_json::from_str(&succeed(&mut command)).unwrap();
    let row = &found["scores"]["largest"][0];
    assert_eq!((number(&row["against"]), number(&row["rules"])), (167.04, output(81.0, 79.0, 1.1)));
}

#[test]
fn a_stream_is_replayed_across_a_split_without_checkpoints() {
    require!(Plugins, KinesisLocal);
    let records = simulate("--racers 10 --seconds 20 --class 3 --race 131 --seed 3");
    let workspace = workspace(&[]);
    let stream = block_on(kinesis::TestStream::new("replayed", 2));
    let (first, second) = records.split_at(100);
    let keyed = |records: &[Vec<u8>]| -> Vec<(String, Vec<u8>)> {
        records.iter().zip(0_u32..).map(|(record, key)| (format!("key-{key}"), record.clone())).collect()
    };
    let between = block_on(async {
        stream.put(keyed(first)).await;
        let shard = stream.open_shards().await.remove(0);
        stream.split(shard.shard_id()).await;
        let between = SystemTime::now();
        stream.put(keyed(second)).await;
        between
    });
    let source = format!("[source.kinesis]\nstream = \"{}\"\nidle-ms = 200\n", stream.name());
    workspace.configure(&source, "[batch]\nmax-records = 30\n");
    workspace.write("next.toml", weighted(2, "1.1"));
    let replaying = |since: &[&str]| {
        let more = [&["--from", "stream", "--json"], since].concat();
        let mut command = command(&workspace, "next.toml", "class-3@1", &more);
        command.env("AWS_ENDPOINT_URL_KINESIS", kinesis::endpoint()).env("AWS_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        command
    };
    let replay = |since: &[&str]| -> Value { serde_json::from_str(&succeed(&mut replaying(since))).unwrap() };
    let found = replay(&[]);
    assert_eq!((&found["records"], &found["scores"]["different"]), (&json!(200), &json!(200)));
    let row = &found["scores"]["largest"][0];
    assert!(row["partitionKey"].as_str().unwrap().starts_with("key-"), "{row}");
    assert!(row["position"].as_str().unwrap().starts_with(&format!("{}/shardId-", stream.name())), "{row}");
    assert_eq!(replay(&["--since", "1h"])["records"], 200);
    let between = humantime::format_rfc3339_millis(between).to_string();
    assert_eq!(replay(&["--since", &between])["records"], 100);
    let error = fail(&mut replaying(&["--since", "2100-01-01T00:00:00Z"]));
    assert!(error.contains("no record arrived since 2100-01-01T00:00:00Z"), "{error}");
    assert!(!workspace.path("store.redb").exists(), "there is no checkpoint");
    let consumers = block_on(stream.client().list_stream_consumers().stream_arn(stream.arn()).send()).unwrap();
    assert!(consumers.consumers().is_empty());
    let in_stream = block_on(async {
        let mut count = 0;
        for shard in stream.shards().await {
            count += stream.read(shard.shard_id()).await.len();
        }
        count
    });
    assert_eq!(in_stream, records.len(), "nothing was put");
}
