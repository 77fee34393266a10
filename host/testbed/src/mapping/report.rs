//! What happened in a run of a mapping.

use serde_json::{Value, json};

use crate::lambda::{ACCOUNT, REGION};

/// A batch that was discarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureRecord {
    /// The shard.
    pub shard_id: String,
    /// The sequence number of the first record; nothing for the final invocation of a window.
    pub start_sequence_number: Option<String>,
    /// The sequence number of the last record.
    pub end_sequence_number: Option<String>,
    /// The number of records.
    pub batch_size: usize,
    /// The number of deliveries.
    pub approximate_invoke_count: u32,
    /// `RetryAttemptsExhausted`, or `PayloadTooLarge` for a record that exceeds the payload limit alone.
    pub condition: &'static str,
}

impl FailureRecord {
    /// The record that the mapping's on-failure destination gets.
    pub fn to_json(&self, stream_arn: &str) -> Value {
        json!({
            "requestContext": {
                "requestId": "c9b8fa9f-5a7f-4c5e-af9c-0c604cde93a5",
                "functionArn": format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:paceline"),
                "condition": self.condition,
                "approximateInvokeCount": self.approximate_invoke_count,
            },
            "responseContext": { "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" },
            "version": "1.0",
            "timestamp": "2026-11-23T18:51:00.000Z",
            "KinesisBatchInfo": {
                "shardId": self.shard_id,
                "startSequenceNumber": self.start_sequence_number,
                "endSequenceNumber": self.end_sequence_number,
                "approximateArrivalOfFirstRecord": "2026-11-23T18:50:00.000Z",
                "approximateArrivalOfLastRecord": "2026-11-23T18:50:01.000Z",
                "batchSize": self.batch_size,
                "streamArn": stream_arn,
            },
        })
    }
}

/// What happened in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Batches read from the stream.
    pub batches: u64,
    /// Invocations.
    pub invocations: u64,
    /// Final invocations of windows, among them.
    pub final_invocations: u64,
    /// Invocations after a failure, with all or some of the records that failed.
    pub retries: u64,
    /// Invocations that ended with a function error.
    pub function_errors: u64,
    /// Invocations that timed out.
    pub timeouts: u64,
    /// Invocations during which the instance died.
    pub deaths: u64,
    /// Invocations whose response failed some records.
    pub partial_failures: u64,
    /// Invocations whose response failed the batch, or was invalid: without a state, for example.
    pub failing_answers: u64,
    /// Splits of a failed batch.
    pub splits: u64,
    /// Windows that were terminated early.
    pub early_ends: u64,
    /// Batches and final invocations that succeeded and were delivered once more.
    pub duplicates: u64,
    /// Discarded batches.
    pub failures: Vec<FailureRecord>,
}

impl Report {
    pub(super) fn add(&mut self, other: Self) {
        self.batches += other.batches;
        self.invocations += other.invocations;
        self.final_invocations += other.final_invocations;
        self.retries += other.retries;
        self.function_errors += other.function_errors;
        self.timeouts += other.timeouts;
        self.deaths += other.deaths;
        self.partial_failures += other.partial_failures;
        self.failing_answers += other.failing_answers;
        self.splits += other.splits;
        self.early_ends += other.early_ends;
        self.duplicates += other.duplicates;
        self.failures.extend(other.failures);
    }
}
