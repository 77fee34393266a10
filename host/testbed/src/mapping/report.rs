//! What happened in a run of a mapping.

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
