//! Batches that an event source mapping gave up are processed after all.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use paceline_aws::base64;
use paceline_aws::kpl::Aggregator;
use paceline_lambda::event::decode;
use paceline_pipeline::model::{BatchLimits, SequenceNumber};
use paceline_pipeline::rules::Registry;
use paceline_pipeline::summary::Summary;
use paceline_pipeline::{Pipeline, RetryPolicy, Rulebooks};
use paceline_simulator::{PartitionKey, Race};
use paceline_testbed::kinesis::{self, Placed};
use paceline_testbed::lambda::Invocation;
use paceline_testbed::mapping::Mapping;
use paceline_testbed::outcome::{self, DedupMode, Message, Outcome, block_on, race};
use paceline_testbed::proxy::{FaultProxy, Faults, KinesisFaults};
use paceline_testbed::sqs::TestQueue;
use paceline_testbed::stream::{Stream, StreamRecord};
use paceline_testbed::{dynamodb, require, rules, sqs};
use serde_json::{Value, json};

use crate::stream::deployment::Deployment;
use crate::support::{Process, paceline};

/// The only shard.
const SHARD: &str = "shardId-000000000000";

/// Records of a stream in a batch of the mapping.
const BATCH: usize = 50;

/// A race through a mapping whose function fails with one of its batches.
struct Scene {
    deployment: Deployment,
    queue: TestQueue,
    messages: Vec<Message>,
    /// What the mapping's on-failure destination got.
    given_up: Value,
    /// The records of the batch, as the event has them.
    records: Vec<StreamRecord>,
}

/// How the function fails with the batch.
#[derive(Clone, Copy)]
struct Failure {
    /// The number of the batch, from 0.
    batch: usize,
    /// How many of its user records it commits before it fails.
    commits: usize,
}

impl Scene {
    /// Ten racers for twenty seconds: four batches, with all racers in each. `pack` messages are in an aggregate, if they
    /// are more than one.
    fn new(dedup: DedupMode, failure: Failure, pack: usize) -> Self {
        let deployment = Deployment::new(dedup, 1);
        let messages = race(&Race {
            racers: 10,
            seconds: 20,
            class: 3,
            race: 131,
            seed: 5,
            key: PartitionKey::Racer,
            errors: 0.0,
            duplicates: 0.0,
        });
        let records = packed(&messages, pack);
        let put = records.iter().map(|(key, data)| (key.as_str(), data.as_slice()));
        let placed = block_on(deployment.stream.put(put));
        let stream = mirrored(&deployment, &records, &placed);
        let records_a_batch = BATCH / pack;
        let from = failure.batch * records_a_batch;
        let records = stream.shards[0].records[from..from + records_a_batch].to_vec();
        let bad: SequenceNumber = records[0].sequence.parse().unwrap();

        let rulebooks = Rulebooks::new(
            rules::engine(),
            Registry::create_folder(&deployment.path("registry")).unwrap(),
            rules::route(),
        );
        let rulebooks = Arc::new(rulebooks);
        block_on(rulebooks.poll()).unwrap();
        let function = |event: Vec<u8>, _: Duration| {
            let mut batch = decode(&event).unwrap().batch;
            let fails = batch.records[0].position.sequence == bad;
            if fails {
                batch.records.truncate(failure.commits);
            }
            let rulebooks = Arc::clone(&rulebooks);
            block_on(async {
                if batch.records.is_empty() {
                    return;
                }
                let store = paceline_aws::DynamoDbStore::connect(&deployment.table).await.unwrap();
                let pipeline = Pipeline::new(store, rulebooks, BatchLimits::default(), RetryPolicy::default());
                let outcome = pipeline.process(&batch, None, &mut Summary::default()).await.unwrap();
                assert!(outcome.first_uncommitted.is_none());
            });
            match fails {
                true => Invocation::FunctionError(json!({ "errorType": "Broken" })),
                false => Invocation::Ok(json!({ "batchItemFailures": [] })),
            }
        };
        let mapping = Mapping {
            batch_size: records_a_batch,
            max_retries: Some(1),
            report_batch_item_failures: true,
            ..Mapping::default()
        };
        let report = mapping.run(&stream, &function);
        assert_eq!((report.failures.len(), report.failures[0].approximate_invoke_count), (1, 2));
        let given_up = report.failures[0].to_json(&stream.arn());
        Self { deployment, queue: TestQueue::new("given-up"), messages, given_up, records }
    }

    /// Sends what the destination got to the queue.
    fn send(&self) {
        self.queue.send(&self.given_up.to_string());
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = paceline(&[&["dead-letters"], arguments].concat());
        command.arg("--config").arg(self.deployment.path("paceline.toml"));
        command.env("AWS_ENDPOINT_URL_KINESIS", kinesis::endpoint());
        command.env("AWS_ENDPOINT_URL_DYNAMODB", dynamodb::endpoint());
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test").env("AWS_REGION", "us-east-1");
        command
    }

    /// Reprocesses the queue.
    fn reprocess(&self, arguments: &[&str]) -> Value {
        self.json(&[&["reprocess", "--queue", &self.queue.url()], arguments].concat())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.command(&[arguments, &["--json"]].concat()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn outcome(&self) -> Outcome {
        Outcome::of(&self.deployment.store())
    }

    /// Asserts that each message is counted once.
    #[track_caller]
    fn must_be_complete(&self) {
        let (folder, scratch) = (self.deployment.path("rulebooks"), self.deployment.path("oracle"));
        let expected = outcome::local(&folder, &scratch, &self.messages);
        let items = Outcome { dead_letters: Vec::new(), ..self.outcome() };
        items.must_be(&Outcome { dead_letters: Vec::new(), ..expected }, "reprocessed");
    }
}

/// The messages as records of a stream: with their keys, or so many in an aggregate.
fn packed(messages: &[Message], pack: usize) -> Vec<(String, Vec<u8>)> {
    let record = |messages: &[Message]| match messages {
        [message] => (message.key.clone(), message.payload.clone()),
        messages => {
            let mut aggregator = Aggregator::default();
            for message in messages {
                assert!(aggregator.add(&message.key, None, &message.payload).is_none());
            }
            let packed = aggregator.finish().unwrap();
            (packed.partition_key, packed.data)
        }
    };
    messages.chunks(pack).map(record).collect()
}

/// The stream as the mapping reads it.
fn mirrored(deployment: &Deployment, records: &[(String, Vec<u8>)], placed: &[Placed]) -> Stream {
    let mut stream = Stream::new(deployment.stream.name(), 1);
    let arrived = block_on(deployment.stream.read(SHARD));
    stream.shards[0].records = records
        .iter()
        .zip(placed)
        .zip(arrived)
        .map(|(((key, data), placed), arrived)| StreamRecord {
            sequence: placed.sequence.clone(),
            partition_key: key.clone(),
            data: data.clone(),
            arrival_ms: arrived.approximate_arrival_timestamp.unwrap().to_millis().unwrap(),
        })
        .collect();
    stream
}

fn counts(done: &Value) -> [u64; 5] {
    ["stored", "known", "through", "left", "unsure"].map(|name| done[name].as_u64().unwrap())
}

#[test]
fn ordinal_dedup_counts_each_record_of_a_batch_that_was_given_up_once() {
    require!(Plugins, DynamoDbLocal, KinesisLocal, Moto);
    for commits in [0, 20] {
        let scene = Scene::new(DedupMode::Ordinal, Failure { batch: 1, commits }, 1);
        let before = scene.outcome();
        scene.send();

        let shown = scene.reprocess(&["--dry-run"]);
        assert_eq!(counts(&shown), [0, 0, 0, 0, 0]);
        assert_eq!((&shown["batches"][0]["new"], &shown["batches"][0]["size"]), (&json!(50), &json!(50)));
        assert_eq!(scene.queue.messages(), (1, 0));
        assert_eq!(scene.outcome(), before);

        assert_eq!(counts(&scene.reprocess(&[])), [50, 0, 50, 0, 0]);
        assert_eq!(scene.queue.messages(), (0, 0));
        scene.must_be_complete();
        assert_eq!(scene.outcome().dead_letters, []);

        // The queue has nothing more, and a message that comes again changes nothing.
        assert_eq!(scene.reprocess(&[])["batches"], json!([]));
        let after = scene.outcome();
        scene.send();
        assert_eq!(counts(&scene.reprocess(&[])), [0, 50, 0, 0, 0]);
        assert_eq!(scene.outcome(), after);
    }
}

#[test]
fn under_sequence_dedup_records_that_later_ones_have_overtaken_are_unsure() {
    require!(Plugins, DynamoDbLocal, KinesisLocal, Moto);
    let scene = Scene::new(DedupMode::Sequence, Failure { batch: 1, commits: 0 }, 1);
    scene.send();
    let items = scene.outcome().items;
    let output = scene.command(&["reprocess", "--queue", &scene.queue.url()]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.starts_with("1 batch with 50 records: 50 became dead letters"), "{text}");
    assert!(text.contains("50 left alone, because they are unsure") && text.contains("--unsure"), "{text}");
    assert_eq!(scene.outcome().items, items);
    assert_eq!(scene.queue.messages(), (0, 0));
    let letters = scene.json(&["list"]);
    let is_given_up = |letter: &Value| letter["reason"] == "given-up" && letter["unsure"] == true;
    assert!(letters.as_array().unwrap().iter().all(is_given_up), "{letters}");
    // The operator has looked: none of them is in its group.
    let done = scene.json(&["redrive", "--reason", "given-up", "--unsure"]);
    assert_eq!(done, json!({ "through": 50, "left": 0, "unsure": 0, "windows": 0 }));
    scene.must_be_complete();
}

#[test]
fn under_sequence_dedup_records_that_no_group_has_come_to_are_processed() {
    require!(Plugins, DynamoDbLocal, KinesisLocal, Moto);
    // The last batch: of the racers, some have come to its second second, the others to its first one.
    let scene = Scene::new(DedupMode::Sequence, Failure { batch: 3, commits: 15 }, 1);
    scene.send();
    assert_eq!(counts(&scene.reprocess(&[])), [50, 0, 35, 0, 15]);
    // Those that are unsure were committed.
    scene.must_be_complete();
    // The stream read once more at the same positions changes nothing either: these records are settled.
    let running = scene.deployment.start_without_proxies();
    scene.deployment.wait_until_done();
    running.stop();
    scene.must_be_complete();
}

#[test]
fn records_of_aggregates_are_taken_apart() {
    require!(Plugins, DynamoDbLocal, KinesisLocal, Moto);
    for dedup in [DedupMode::Ordinal, DedupMode::Sequence] {
        let scene = Scene::new(dedup, Failure { batch: 3, commits: 0 }, 10);
        // By way of a topic.
        scene.queue.send(&json!({ "Type": "Notification", "Message": scene.given_up.to_string() }).to_string());
        assert_eq!(counts(&scene.reprocess(&[])), [50, 0, 50, 0, 0]);
        scene.must_be_complete();
        assert_eq!(scene.outcome().dead_letters, []);
    }
}

#[test]
fn killed_between_storing_and_deleting_it_goes_on() {
    require!(Plugins, DynamoDbLocal, KinesisLocal, Moto);
    let scene = Scene::new(DedupMode::Ordinal, Failure { batch: 1, commits: 20 }, 1);
    scene.send();
    let proxy = Arc::new(FaultProxy::start(&sqs::endpoint(), Faults::default(), 1));
    let (victim, pid) = sync_channel(1);
    let at_proxy = Arc::downgrade(&proxy);
    proxy.on_request(move |_, operation| {
        if operation == "DeleteMessage" {
            at_proxy.upgrade().unwrap().set_faults(Faults { reset_before: 1.0, ..Faults::default() });
            let Ok(pid) = pid.recv() else { return };
            let _ = std::process::Command::new("kill").args(["-s", "KILL", &u32::to_string(&pid)]).status();
        }
    });
    let command = scene.command(&["reprocess", "--queue", &scene.queue.url_at(&proxy.endpoint())]);
    let mut process = Process::start(command);
    victim.send(process.child.id()).unwrap();
    let status = process.child.wait().unwrap();
    assert_eq!(status.code(), None, "it was not killed: {status}");
    assert_eq!(scene.queue.messages(), (0, 1), "the message is hidden");
    assert_eq!(scene.outcome().dead_letters.len(), 50);

    // A quarter of an hour later the queue delivers it again.
    scene.send();
    assert_eq!(counts(&scene.reprocess(&[])), [0, 50, 50, 0, 0]);
    scene.must_be_complete();
    assert_eq!(scene.outcome().dead_letters, []);
}

#[test]
fn what_was_kept_is_redriven_later() {
    require!(Plugins, DynamoDbLocal, KinesisLocal, Moto);
    let scene = Scene::new(DedupMode::Ordinal, Failure { batch: 1, commits: 0 }, 1);
    scene.deployment.write("given-up.json", &scene.given_up.to_string());
    let file = scene.deployment.path("given-up.json");
    let from = ["reprocess", "--from", file.to_str().unwrap(), "--keep"];
    assert_eq!(counts(&scene.json(&from)), [50, 0, 0, 0, 0]);
    assert_eq!(scene.json(&["redrive", "--reason", "given-up"])["through"], 50);
    scene.must_be_complete();
}

#[test]
fn of_a_batch_that_has_expired_in_part_the_rest_is_processed_and_the_loss_named() {
    require!(Plugins, DynamoDbLocal, KinesisLocal, Moto);
    let scene = Scene::new(DedupMode::Ordinal, Failure { batch: 1, commits: 0 }, 1);
    scene.send();
    let (first, oldest) = (&scene.records[0].sequence, &scene.records[15].sequence);
    let kinesis_faults = KinesisFaults { oldest: Some(oldest.clone()), ..KinesisFaults::default() };
    let faults = Faults { kinesis: kinesis_faults, ..Faults::default() };
    let stream = FaultProxy::start(&kinesis::endpoint(), faults, 1);
    let mut command = scene.command(&["reprocess", "--queue", &scene.queue.url(), "--json"]);
    let output = command.env("AWS_ENDPOINT_URL_KINESIS", stream.endpoint()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("1 of 1 batch not reprocessed as a whole, and left where they were"), "{error}");
    let done: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(counts(&done), [35, 0, 35, 0, 0]);
    let lost = done["batches"][0]["error"].as_str().unwrap();
    assert!(lost.contains(&format!("{SHARD} from {first} before {oldest}: they have expired")), "{lost}");
    assert!(lost.ends_with("Of the batch's 50, 35 were read"), "{lost}");
    assert_eq!(scene.queue.messages(), (1, 0), "the message stays");

    // Those that the rest had are known, and the others are counted once they can be read.
    assert_eq!(counts(&scene.reprocess(&[])), [15, 35, 15, 0, 0]);
    assert_eq!(scene.queue.messages(), (0, 0));
    scene.must_be_complete();
}

#[test]
fn records_that_have_expired_are_named_unless_they_came_with_the_batch() {
    require!(Plugins, DynamoDbLocal, KinesisLocal, Moto);
    let mut scene = Scene::new(DedupMode::Ordinal, Failure { batch: 1, commits: 0 }, 1);
    // The stream has no such shard any more: all of its records have expired.
    scene.given_up["KinesisBatchInfo"]["shardId"] = json!("shardId-000000000007");
    scene.send();
    scene.queue.send("no JSON");
    let items = scene.outcome().items;
    let output = scene.command(&["reprocess", "--queue", &scene.queue.url(), "--json"]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("2 of 2 batches not reprocessed as a whole"), "{error}");
    let done: Value = serde_json::from_slice(&output.stdout).unwrap();
    let errors: Vec<&str> =
        done["batches"].as_array().unwrap().iter().map(|of| of["error"].as_str().unwrap()).collect();
    let (first, last) = (&scene.records[0].sequence, &scene.records[BATCH - 1].sequence);
    let range = format!("/shardId-000000000007 from {first} to {last}: they have expired");
    assert!(errors.iter().any(|error| error.contains(&range)), "{errors:?}");
    assert!(errors.iter().any(|error| error.contains("not JSON")), "{errors:?}");
    assert_eq!(scene.queue.messages(), (2, 0), "they stay in the queue");
    assert_eq!((scene.outcome().items, scene.outcome().dead_letters), (items, Vec::new()));

    // In a bucket they are whole.
    let record = |record: &StreamRecord| {
        json!({ "kinesis": {
            "partitionKey": record.partition_key, "sequenceNumber": record.sequence,
            "data": base64::encode(&record.data), "approximateArrivalTimestamp": record.arrival_ms as f64 / 1_000.0,
        } })
    };
    let event = json!({ "Records": scene.records.iter().map(record).collect::<Value>() });
    scene.given_up["payload"] = json!(event.to_string());
    scene.deployment.write("object.json", &scene.given_up.to_string());
    let file = scene.deployment.path("object.json");
    assert_eq!(counts(&scene.json(&["reprocess", "--from", file.to_str().unwrap()])), [50, 0, 50, 0, 0]);
    scene.must_be_complete();
}
