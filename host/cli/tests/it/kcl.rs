//! `paceline kcl` on the protocol of the MultiLangDaemon: lines in, lines out. `kcl_daemon` tests with the real daemon.

mod daemon;

use paceline_testbed::require;
use std::process::Command;

use crate::dynamo::{Deployment, local_outcome};
use crate::support::{simulate, succeed};
use paceline_testbed::dynamodb::endpoint;
use paceline_testbed::proxy::{FaultProxy, Faults};
use serde_json::{Value, json};

pub(crate) use daemon::{Daemon, numbered_records};
use daemon::{checkpoint, race, record, records, status};

#[test]
fn a_whole_shard_has_the_same_outcome_as_a_local_run() {
    require!(Plugins, DynamoDbLocal);
    let (deployment, messages) = (Deployment::new(), race(1));
    let mut daemon = Daemon::for_shard(&deployment, "shardId-000000000000");
    for some in numbered_records(&messages).chunks(150) {
        daemon.process(some);
    }
    daemon.end_shard();
    daemon.close();
    deployment.outcome().must_be(&local_outcome(&messages), "kcl");
}

#[test]
fn redelivered_records_count_once_with_any_batch_size() {
    require!(Plugins, DynamoDbLocal);
    let (deployment, messages) = (Deployment::new(), race(2));
    deployment.configure("stream = \"alleycat\"", "[batch]\nmax-records = 7\n");
    let all = numbered_records(&messages);
    let (middle, back) = (all.len() / 2, all.len() / 3);
    let mut daemon = Daemon::for_shard(&deployment, "shardId-000000000000");
    daemon.process(&all[..middle]);
    // The process is killed before the next checkpoint. Another one resumes the shard at an earlier checkpoint.
    daemon.process.kill();
    let mut daemon = Daemon::for_shard(&deployment, "shardId-000000000000");
    all[back..].chunks(100).for_each(|some| daemon.process(some));
    daemon.end_shard();
    daemon.close();
    deployment.outcome().must_be(&local_outcome(&messages), "kcl");
}

#[test]
fn records_of_an_aggregate_share_a_sequence_number() {
    require!(Plugins, DynamoDbLocal);
    let (deployment, messages) = (Deployment::new(), race(3));
    let packed: Vec<Value> =
        messages.iter().enumerate().map(|(at, payload)| record(1 + at / 10, at % 10, payload)).collect();
    let mut daemon = Daemon::for_shard(&deployment, "shardId-000000000000");
    // Split in the middle of an aggregate, as by the KCL when it starts at a sub-sequence number.
    daemon.process(&packed[..105]);
    daemon.process(&packed[..105]);
    daemon.process(&packed[105..]);
    daemon.close();
    deployment.outcome().must_be(&local_outcome(&messages), "kcl");
}

#[test]
fn records_with_invalid_base64_or_no_key_do_not_stop_the_process() {
    require!(Plugins, DynamoDbLocal);
    let (deployment, messages) = (Deployment::new(), race(4));
    let mut all = numbered_records(&messages);
    all.iter_mut().for_each(|record| record["partitionKey"] = Value::Null);
    let mut broken = record(messages.len() + 1, 0, b"");
    broken["data"] = json!("this is not base64");
    let mut empty = record(messages.len() + 2, 0, b"");
    empty["data"] = Value::Null;
    empty.as_object_mut().unwrap().remove("approximateArrivalTimestamp");
    all.extend([broken, empty]);
    let mut daemon = Daemon::for_shard(&deployment, "shardId-000000000000");
    daemon.process(&all);
    daemon.close();
    let mut expected = local_outcome(&messages);
    let more = [("", "empty"), ("this is not base64", "undecodable")];
    expected.dead_letters.extend(more.map(|(payload, cause)| (payload.to_owned(), cause.to_owned())));
    expected.dead_letters.sort();
    deployment.outcome().must_be(&expected, "kcl");
}

#[test]
fn metadata_of_other_types_does_not_stop_the_process() {
    require!(Plugins, DynamoDbLocal);
    let (deployment, messages) = (Deployment::new(), race(4));
    let mut all = numbered_records(&messages);
    for record in &mut all {
        record["partitionKey"] = json!(17);
        record["approximateArrivalTimestamp"] = json!("1620566842971");
        record["encryptionType"] = json!({ "of": ["a", "later", "version"] });
    }
    let mut daemon = Daemon::start(&deployment);
    daemon.send(&json!({ "action": "initialize", "shardId": "shardId-000000000000", "sequenceNumber": 0, "new": [1] }));
    daemon.expect_answer(&status("initialize"));
    let mut message = records(&all);
    message["millisBehindLatest"] = json!("none");
    daemon.send(&message);
    daemon.answer_checkpoint(&checkpoint(messages.len(), 0), None);
    daemon.expect_answer(&status("processRecords"));
    daemon.close();
    deployment.outcome().must_be(&local_outcome(&messages), "kcl");
}

#[test]
fn the_shutdown_of_an_old_daemon_is_answered_with_what_to_upgrade() {
    require!(Plugins, DynamoDbLocal);
    let deployment = Deployment::new();
    for reason in ["TERMINATE", "ZOMBIE"] {
        let mut daemon = Daemon::for_shard(&deployment, "shardId-000000000000");
        daemon.send(&json!({ "action": "shutdown", "reason": reason }));
        let stderr = daemon.fails();
        let upgrade = "upgrade amazon-kinesis-client-multilang to 2.x or 3.x";
        assert!(stderr.contains("KCL 1.x") && stderr.contains(upgrade), "{stderr}");
    }
}

#[test]
fn an_empty_batch_needs_no_checkpoint() {
    require!(Plugins, DynamoDbLocal);
    let deployment = Deployment::new();
    let mut daemon = Daemon::for_shard(&deployment, "shardId-000000000000");
    daemon.send(&records(&[]));
    daemon.expect_answer(&status("processRecords"));
    daemon.send(&json!({ "action": "shutdownRequested" }));
    daemon.expect_answer(&status("shutdownRequested"));
    daemon.close();
}

#[test]
fn checkpoints_are_rare_and_the_last_one_precedes_the_lease_release() {
    require!(Plugins, DynamoDbLocal);
    let (deployment, messages) = (Deployment::new(), race(5));
    let all = numbered_records(&messages);
    let hourly = ["kcl", "--checkpoint-every-ms", "3600000"];
    let mut daemon = Daemon::run(deployment.command(&hourly, &endpoint()));
    daemon.initialize("shardId-000000000000");
    daemon.process(&all[..100]);
    for some in all[100..].chunks(100) {
        daemon.send(&records(some));
        daemon.expect_answer(&status("processRecords"));
    }
    daemon.send(&json!({ "action": "shutdownRequested" }));
    daemon.answer_checkpoint(&checkpoint(all.len(), 0), None);
    daemon.expect_answer(&status("shutdownRequested"));
    daemon.send(&json!({ "action": "leaseLost" }));
    daemon.expect_answer(&status("leaseLost"));
    daemon.close();
    deployment.outcome().must_be(&local_outcome(&messages), "kcl");
}

#[test]
fn a_throttled_checkpoint_is_retried_and_one_without_a_lease_is_not() {
    require!(Plugins, DynamoDbLocal);
    let (deployment, messages) = (Deployment::new(), race(6));
    let all = numbered_records(&messages);
    let mut daemon = Daemon::for_shard(&deployment, "shardId-000000000000");
    daemon.send(&records(&all[..10]));
    daemon.answer_checkpoint(&checkpoint(10, 0), Some("ThrottlingException"));
    daemon.answer_checkpoint(&checkpoint(10, 0), Some("ThrottlingException"));
    daemon.answer_checkpoint(&checkpoint(10, 0), None);
    daemon.expect_answer(&status("processRecords"));
    // The error is not known to be retryable, and the next checkpoint covers this one.
    daemon.send(&records(&all[10..20]));
    daemon.answer_checkpoint(&checkpoint(20, 0), Some("IllegalArgumentException"));
    daemon.expect_answer(&status("processRecords"));
    // Another worker has the lease. The current records are committed, and no more checkpoints are sent.
    daemon.send(&records(&all[20..30]));
    daemon.answer_checkpoint(&checkpoint(30, 0), Some("ShutdownException"));
    daemon.expect_answer(&status("processRecords"));
    daemon.send(&records(&all[30..]));
    daemon.expect_answer(&status("processRecords"));
    daemon.send(&json!({ "action": "leaseLost" }));
    daemon.expect_answer(&status("leaseLost"));
    daemon.close();
    deployment.outcome().must_be(&local_outcome(&messages), "kcl");
}

#[test]
fn a_missing_lease_table_ends_the_process() {
    require!(Plugins, DynamoDbLocal);
    let deployment = Deployment::new();
    let mut daemon = Daemon::for_shard(&deployment, "shardId-000000000000");
    daemon.send(&records(&numbered_records(&race(7)[..10])));
    daemon.answer_checkpoint(&checkpoint(10, 0), Some("InvalidStateException"));
    let stderr = daemon.fails();
    assert!(stderr.contains("InvalidStateException") && stderr.contains("lease table"), "{stderr}");
}

#[test]
fn a_throttled_store_is_retried() {
    require!(Plugins, DynamoDbLocal);
    let (deployment, messages) = (Deployment::new(), race(8));
    deployment.configure("stream = \"alleycat\"", "[retry]\ndeadline-ms = 200\nfirst-wait-ms = 5\n");
    let proxy = FaultProxy::start(&endpoint(), Faults::default(), 8);
    let mut daemon = Daemon::run(deployment.command(&["kcl", "--checkpoint-every-ms", "0"], &proxy.endpoint()));
    daemon.initialize("shardId-000000000000");
    proxy.set_faults(Faults { throttle: 1.0, ..Faults::default() });
    let all = numbered_records(&messages);
    daemon.send(&records(&all));
    daemon.process.wait_for("not committed yet");
    proxy.set_faults(Faults::default());
    daemon.answer_checkpoint(&checkpoint(all.len(), 0), None);
    daemon.expect_answer(&status("processRecords"));
    daemon.close();
    deployment.outcome().must_be(&local_outcome(&messages), "kcl");
}

#[test]
fn retries_of_a_throttled_store_end_when_the_daemon_is_gone() {
    require!(Plugins, DynamoDbLocal);
    let deployment = Deployment::new();
    deployment.configure("stream = \"alleycat\"", "[retry]\ndeadline-ms = 200\nfirst-wait-ms = 5\n");
    let proxy = FaultProxy::start(&endpoint(), Faults::default(), 9);
    let mut daemon = Daemon::run(deployment.command(&["kcl"], &proxy.endpoint()));
    daemon.initialize("shardId-000000000000");
    proxy.set_faults(Faults { throttle: 1.0, ..Faults::default() });
    daemon.send(&records(&numbered_records(&race(9))));
    daemon.process.wait_for("not committed yet");
    drop(daemon.process.stdin.take());
    let stderr = daemon.fails();
    assert!(stderr.contains("the daemon is gone") && stderr.contains("delivered again"), "{stderr}");
}

#[test]
fn the_current_records_are_committed_when_the_daemon_is_gone() {
    require!(Plugins, DynamoDbLocal);
    let (deployment, messages) = (Deployment::new(), race(10));
    let mut daemon = Daemon::for_shard(&deployment, "shardId-000000000000");
    daemon.send(&records(&numbered_records(&messages)));
    drop(daemon.process.stdin.take());
    daemon.expect_answer(&checkpoint(messages.len(), 0));
    daemon.close();
    deployment.outcome().must_be(&local_outcome(&messages), "kcl");
}

#[test]
fn a_missing_table_ends_the_process() {
    require!(Plugins, DynamoDbLocal);
    let deployment = Deployment::without_tables();
    let stderr = Daemon::start(&deployment).fails();
    assert!(stderr.contains(&deployment.table.table), "{stderr}");
}

#[test]
fn an_invalid_message_ends_the_process_and_is_logged_truncated() {
    require!(Plugins, DynamoDbLocal);
    let deployment = Deployment::new();
    let long = format!("{{\"action\":\"processRecords\",\"records\":[{}", "7,".repeat(100_000));
    for (line, why) in [
        ("nonsense", "nonsense"),
        (r#"{"action":"dance"}"#, "no action `dance`"),
        (r#"{"action":"checkpoint","error":null}"#, "`checkpoint` without a request"),
        (r#"{"action":"processRecords","records":[{"sequenceNumber":"x"}]}"#, "`x` is not a sequence number"),
        (&long, r#"{\"action\":\"processRecords\""#),
    ] {
        let mut daemon = Daemon::for_shard(&deployment, "shardId-000000000000");
        daemon.process.write_stdin(format!("{line}\n").as_bytes());
        let stderr = daemon.fails();
        assert!(stderr.contains(why), "{}: {}", &line[..line.len().min(80)], &stderr[..stderr.len().min(2_000)]);
        assert!(stderr.len() < 4_000, "{} bytes", stderr.len());
    }
    let mut unnamed = Daemon::start(&deployment);
    unnamed.send(&records(&numbered_records(&race(12)[..1])));
    assert!(unnamed.fails().contains("`initialize`"));
}

#[test]
fn signals_are_ignored() {
    require!(Plugins, DynamoDbLocal);
    let (deployment, messages) = (Deployment::new(), race(13));
    let mut daemon = Daemon::for_shard(&deployment, "shardId-000000000000");
    for signal in ["-TERM", "-INT"] {
        let killed = Command::new("kill").args([signal, &daemon.process.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        daemon.process.wait_for("signal ignored");
    }
    daemon.process(&numbered_records(&messages));
    daemon.end_shard();
    daemon.close();
    deployment.outcome().must_be(&local_outcome(&messages), "kcl");
}

#[test]
fn plugins_are_compiled_once_for_all_shards() {
    require!(Plugins, DynamoDbLocal);
    let deployment = Deployment::new();
    let cache = deployment.workspace.path("compiled");
    let files = || {
        let mut files: Vec<_> = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap()).collect();
        files.sort_by_key(std::fs::DirEntry::path);
        files.iter().map(|file| (file.path(), file.metadata().unwrap().modified().unwrap())).collect::<Vec<_>>()
    };
    let run = |shard: &str| {
        let mut command = deployment.command(&["kcl"], &endpoint());
        command.env("PACELINE_CACHE", &cache);
        let mut daemon = Daemon::run(command);
        daemon.initialize(shard);
        daemon.close();
    };
    run("shardId-000000000000");
    let compiled = files();
    assert_eq!(compiled.len(), 5, "{compiled:?}");
    run("shardId-000000000001");
    assert_eq!(files(), compiled);
}

/// The resident set size of a process, in bytes.
fn resident_bytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[test]
fn memory_does_not_grow_with_the_number_of_records() {
    require!(Plugins, DynamoDbLocal);
    let deployment = Deployment::new();
    // The same seconds of a race in every round: duplicates must not use memory either.
    let messages = simulate("--racers 200 --seconds 12 --class 3 --race 131 --seed 14");
    let mut daemon = Daemon::for_shard(&deployment, "shardId-000000000000");
    let mut process_round = |round: usize| {
        let all = messages.iter().enumerate();
        let all: Vec<Value> = all.map(|(at, payload)| record(round * messages.len() + at + 1, 0, payload)).collect();
        daemon.process(&all);
        resident_bytes(daemon.process.child.id())
    };
    let early = (0..5).map(&mut process_round).max().unwrap();
    let late = (5..25).map(&mut process_round).max().unwrap();
    // A round is about a megabyte: twenty leaked rounds would be 20 MB.
    assert!(late < early + (10 << 20), "from {early} to {late} bytes");
    daemon.close();
}

#[test]
fn an_embedded_store_and_a_missing_stream_are_rejected() {
    require!(Plugins, DynamoDbLocal);
    let workspace = crate::support::Workspace::new(crate::support::DedupMode::Ordinal);
    assert!(workspace.fails(&["kcl"]).contains("[source.kinesis]"));
    workspace.configure("[source.kinesis]\nstream = \"alleycat\"\n", "");
    assert!(workspace.fails(&["kcl"]).contains("[store.dynamodb]"));
}

/// A plugin spins, and the daemon is gone: nobody waits for the answer.
#[test]
fn calls_of_plugins_end_after_the_daemon_and_nobody_is_blamed() {
    require!(Plugins, DynamoDbLocal);
    let deployment = Deployment::new();
    let limits = "[limits]\ncall-ms = 600000\nfuel-per-call = 1000000000000000\n";
    deployment.configure("stream = \"alleycat\"", limits);
    let rules = std::fs::read_to_string(deployment.workspace.path("rulebooks/class-3.toml")).unwrap();
    let spin = "plugin = \"evil-scorer\"\nsettings = { deed = \"log\" }";
    deployment.workspace.write("rulebooks/class-3.toml", rules.replace("plugin = \"output\"", spin));
    let mut daemon = Daemon::for_shard(&deployment, "shardId-000000000000");
    daemon.send(&records(&numbered_records(&race(1))));
    daemon.process.wait_for("and another thing");
    drop(daemon.process.stdin.take());
    let error = daemon.fails();
    assert!(error.contains("the daemon is gone") && error.contains("delivered again"), "{error}");
    assert!(deployment.outcome().dead_letters.is_empty());
}

/// A stream that was deleted and created again, with lower sequence numbers: sequence dedup would take its records for
/// duplicates.
#[test]
fn records_of_a_stream_that_was_created_again_are_dead_letters_and_none_is_lost() {
    require!(Plugins, DynamoDbLocal);
    let (deployment, messages) = (Deployment::new(), race(6));
    let (before, after) = messages.split_at(messages.len() / 2);
    let numbered = |messages: &[Vec<u8>], first: usize, arrival_ms: i64| -> Vec<Value> {
        let record = |(at, payload): (usize, &Vec<u8>)| {
            let mut record = record(first + at, 0, payload);
            record["approximateArrivalTimestamp"] = json!(arrival_ms + at as i64);
            record
        };
        messages.iter().enumerate().map(record).collect()
    };
    let old = numbered(before, 5_000, 1_620_566_842_971);
    let mut daemon = Daemon::for_shard(&deployment, "shardId-000000000000");
    daemon.process(&old);
    // Delivered again, the records of a stream are duplicates.
    daemon.process(&old);
    daemon.close();
    assert!(deployment.outcome().dead_letters.iter().all(|(_, cause)| cause != "other-stream"));

    let mut daemon = Daemon::for_shard(&deployment, "shardId-000000000000");
    daemon.process(&numbered(after, 1, 1_620_566_902_971));
    let line = daemon.process.wait_for("created again");
    assert!(line.contains("ERROR") && line.contains("other-stream") && line.contains("--unsure"), "{line}");
    daemon.close();
    assert!(deployment.outcome().dead_letters.iter().any(|(_, cause)| cause == "other-stream"));

    let redrive = ["dead-letters", "redrive", "--reason", "other-stream", "--unsure"];
    succeed(&mut deployment.command(&redrive, &endpoint()));
    deployment.outcome().must_be(&local_outcome(&messages), "the old stream and the new one");
}
