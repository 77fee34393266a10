//! What the MultiLangDaemon says to a process, and reads of it.

use crate::dynamo::Deployment;
use crate::support::{Process, simulate};
use paceline_testbed::dynamodb::endpoint;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, Command};

/// A record in the daemon's format.
pub(super) fn record(sequence: usize, sub_sequence: usize, payload: &[u8]) -> Value {
    json!({
        "action": "record", "data": paceline_aws::base64::encode(payload), "partitionKey": "key",
        "sequenceNumber": number(sequence), "subSequenceNumber": sub_sequence,
        "approximateArrivalTimestamp": 1_620_566_842_971_i64,
    })
}

/// A sequence number with as many digits as in Kinesis.
pub(super) fn number(sequence: usize) -> String {
    format!("49{sequence:054}")
}

pub(super) fn records(records: &[Value]) -> Value {
    json!({ "action": "processRecords", "records": records, "millisBehindLatest": 0 })
}

pub(super) fn checkpoint(sequence: usize, sub_sequence: usize) -> Value {
    json!({ "action": "checkpoint", "sequenceNumber": number(sequence), "subSequenceNumber": sub_sequence })
}

pub(super) fn status(action: &str) -> Value {
    json!({ "action": "status", "responseFor": action })
}

/// The daemon's side of the protocol with one process.
pub(crate) struct Daemon {
    pub(super) process: Process,
    answers: BufReader<ChildStdout>,
}

impl Daemon {
    /// Starts a process that sends a checkpoint for every `processRecords`.
    pub(super) fn start(deployment: &Deployment) -> Self {
        Self::run(deployment.command(&["kcl", "--checkpoint-every-ms", "0"], &endpoint()))
    }

    pub(crate) fn run(command: Command) -> Self {
        let mut process = Process::start(command);
        let answers = BufReader::new(process.child.stdout.take().unwrap());
        Self { process, answers }
    }

    /// Starts a process and initializes it with a shard.
    pub(super) fn for_shard(deployment: &Deployment, shard: &str) -> Self {
        let mut daemon = Self::start(deployment);
        daemon.initialize(shard);
        daemon
    }

    pub(crate) fn initialize(&mut self, shard: &str) {
        let from = "TRIM_HORIZON";
        self.send(&json!({
            "action": "initialize", "shardId": shard, "sequenceNumber": from, "subSequenceNumber": 0,
        }));
        self.expect_answer(&status("initialize"));
    }

    pub(super) fn send(&mut self, message: &Value) {
        self.process.write_stdin(format!("{message}\n").as_bytes());
    }

    /// The next message of the process. Every line on standard output has to be one.
    pub(super) fn receive(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let stderr = || self.process.stderr_lines.try_iter().collect::<Vec<_>>();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}; stderr: {:?}", stderr()))
    }

    pub(super) fn expect_answer(&mut self, answer: &Value) {
        assert_eq!(&self.receive(), answer);
    }

    /// Expects a checkpoint request and answers it.
    pub(super) fn answer_checkpoint(&mut self, expected: &Value, error: Option<&str>) {
        self.expect_answer(expected);
        let mut answer = expected.clone();
        answer["error"] = json!(error);
        self.send(&answer);
    }

    /// Sends records, expects a checkpoint at the last of them, and accepts it.
    pub(crate) fn process(&mut self, all: &[Value]) {
        self.send(&records(all));
        let last = all.last().unwrap();
        let expected = json!({
            "action": "checkpoint", "sequenceNumber": last["sequenceNumber"],
            "subSequenceNumber": last["subSequenceNumber"],
        });
        self.answer_checkpoint(&expected, None);
        self.expect_answer(&status("processRecords"));
    }

    /// Ends the shard, expects the final checkpoint, and accepts it.
    pub(crate) fn end_shard(&mut self) {
        self.send(&json!({ "action": "shardEnded" }));
        let end = json!({ "action": "checkpoint", "sequenceNumber": null, "subSequenceNumber": null });
        self.answer_checkpoint(&end, None);
        self.expect_answer(&status("shardEnded"));
    }

    /// Closes the input. The process has to exit with success and without another message.
    pub(crate) fn close(mut self) {
        drop(self.process.stdin.take());
        let mut more = String::new();
        self.answers.read_line(&mut more).unwrap();
        assert_eq!(more, "");
        let status = self.process.child.wait().unwrap();
        assert!(status.success(), "{status}: {:?}", self.process.stderr_lines.iter().collect::<Vec<_>>());
    }

    /// Waits until the process exits, which has to be with an error, and returns its standard error.
    pub(super) fn fails(mut self) -> String {
        let stderr = self.process.stderr_lines.iter().collect::<Vec<_>>().join("\n");
        assert_eq!(self.process.child.wait().unwrap().code(), Some(1), "{stderr}");
        stderr
    }
}

/// A small race with some invalid messages.
pub(super) fn race(seed: u32) -> Vec<Vec<u8>> {
    simulate(&format!("--racers 20 --seconds 30 --class 3 --race 131 --seed {seed} --errors 3"))
}

pub(crate) fn numbered_records(messages: &[Vec<u8>]) -> Vec<Value> {
    messages.iter().enumerate().map(|(at, payload)| record(at + 1, 0, payload)).collect()
}
