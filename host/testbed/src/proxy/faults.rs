//! The faults that a test sets: how often they occur, and the limits of Kinesis.

use std::time::Duration;

/// Faults and their probabilities. By default there are none.
///
/// A request meets at most one of `throttle`, `server_error`, `reset_before` and `reset_after`: their sum is at most 1.
/// `delay` and `partial` are drawn independently and occur in addition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// Probability of a throttling error. DynamoDB's is drawn evenly from `ProvisionedThroughputExceededException`,
    /// `ThrottlingException` and `RequestLimitExceeded`, each with its reasons. Kinesis's is
    /// `ProvisionedThroughputExceededException` for puts and reads, else `LimitExceededException`. The request is not
    /// forwarded.
    pub throttle: f64,
    /// Probability of a server error, DynamoDB's `InternalServerError` (500) or Kinesis's `InternalFailure` (500) and
    /// `ServiceUnavailable` (503): half of them before, half after the request took effect.
    pub server_error: f64,
    /// Probability that the connection is reset and the request not forwarded.
    pub reset_before: f64,
    /// Probability that the request takes effect and the connection is reset without a response.
    pub reset_after: f64,
    /// Probability of a delay before anything else happens to the request.
    pub delay: f64,
    /// Length of that delay: minimum and maximum, both included.
    pub delay_ms: (u64, u64),
    /// The time before which no request is answered, from when it is complete. A stand-in on a busy machine has the
    /// latency of a service then, as long as it needs no more.
    pub latency: Option<Duration>,
    /// Probability that a batch is processed in part. `BatchGetItem` and `BatchWriteItem` of two or more entries return
    /// some as `UnprocessedKeys` or `UnprocessedItems`. `BatchExecuteStatement` returns an error for some statements,
    /// or for all; one with an `InternalServerError` may have taken effect. `PutRecords` returns
    /// `ProvisionedThroughputExceededException` or `InternalFailure` for some records, or for all; one with the latter
    /// may be in the stream.
    pub partial: f64,
    /// The operations that meet faults; without a list, all do.
    pub only: Option<Vec<String>>,
    /// Faults that only Kinesis has.
    pub kinesis: KinesisFaults,
    /// The write capacity of a table of DynamoDB.
    pub dynamodb: Option<DynamoDbLimits>,
}

impl Faults {
    /// # Panics
    ///
    /// If a probability, a delay or a limit is out of range.
    pub(super) fn check(&self) {
        let exclusive = [self.throttle, self.server_error, self.reset_before, self.reset_after];
        let kinesis = [self.kinesis.expired_iterator, self.kinesis.cut];
        let all = [&exclusive[..], &[self.delay, self.partial], &kinesis].concat();
        assert!(all.iter().all(|p| (0.0..=1.0).contains(p)), "a fault's probability is not within 0 and 1: {self:?}");
        // The sum of ten times 0.1 is a little more than 1.
        assert!(exclusive.iter().sum::<f64>() < 1.0 + 1e-9, "the sum of exclusive faults exceeds 1: {self:?}");
        assert!(self.delay_ms.0 <= self.delay_ms.1, "the minimum delay exceeds the maximum: {self:?}");
        if let Some(limits) = &self.kinesis.limits {
            limits.check();
        }
        if let Some(limits) = &self.dynamodb {
            limits.check();
        }
    }

    /// Whether an operation meets no fault.
    pub(super) fn exempts(&self, operation: &str) -> bool {
        self.only.as_ref().is_some_and(|only| only.iter().all(|other| other != operation))
    }
}

/// Faults of Kinesis alone. By default there are none.
///
/// [`Faults::only`] exempts an operation from what is drawn, not from what is a rule: limits, ages, ends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KinesisFaults {
    /// What each shard accepts and returns in a second. A `PutRecords` over the limit fails in part, any other request
    /// as a whole.
    pub limits: Option<KinesisLimits>,
    /// Probability that a `GetRecords` fails with `ExpiredIteratorException`.
    pub expired_iterator: f64,
    /// The age at which an iterator expires; five minutes in Kinesis.
    pub iterator_age: Option<Duration>,
    /// The sequence number of the oldest record that has not expired: `GetRecords` returns none before it.
    pub oldest: Option<String>,
    /// Probability, for each event of a subscription, that the subscription is cut before it: the connection is reset,
    /// or with HTTP/2 the stream in it.
    pub cut: f64,
    /// The number of events after which a subscription is cut.
    pub cut_after: Option<u64>,
    /// The number of events after which a subscription ends normally.
    pub end_after: Option<u64>,
    /// The time after which a subscription ends normally; five minutes in Kinesis.
    pub end_when: Option<Duration>,
    /// A subscription to a shard ends the one that the same consumer has, if that is at least so old, by a
    /// `ResourceInUseException`; otherwise it is refused by one. Five seconds in Kinesis; kinesis-local always refuses.
    pub hand_over: Option<Duration>,
    /// A subscription to a shard that was split or merged ends after the shard's last record, by an event that names
    /// the shard's children. Kinesis does so; kinesis-local does not.
    pub end_with_shard: bool,
}

/// What a shard accepts and returns in a second. The defaults are Kinesis's; an infinite value is no limit.
///
/// A shard that was idle for a second has a second's worth.
#[derive(Clone, Debug, PartialEq)]
pub struct KinesisLimits {
    /// Records put.
    pub put_records: f64,
    /// Bytes put, keys included.
    pub put_bytes: f64,
    /// Calls of `GetRecords`.
    pub reads: f64,
    /// Bytes read by `GetRecords`, keys included. One response may exceed them; the next calls are then throttled.
    pub read_bytes: f64,
    /// Calls of `GetShardIterator`.
    pub iterators: f64,
}

impl Default for KinesisLimits {
    fn default() -> Self {
        let mebibyte = 1_048_576.0;
        Self { put_records: 1_000.0, put_bytes: mebibyte, reads: 5.0, read_bytes: 2.0 * mebibyte, iterators: 5.0 }
    }
}

impl KinesisLimits {
    fn check(&self) {
        let all = [self.put_records, self.put_bytes, self.reads, self.read_bytes, self.iterators];
        assert!(all.iter().all(|limit| *limit > 0.0), "a limit is not above 0, so no request ever succeeds: {self:?}");
    }
}

/// The write capacity of one table of DynamoDB, of its index, and of each partition key. DynamoDB Local has none.
///
/// A statement of a batch that exceeds one of them is returned as `ProvisionedThroughputExceeded`; any other write fails
/// as a whole. Reads, transactions, and other tables are not limited. The settings count from the first write on; later
/// changes of the rates hold from the next write on.
#[derive(Clone, Debug, PartialEq)]
pub struct DynamoDbLimits {
    /// The table's name.
    pub table: String,
    /// Its partition key's attribute.
    pub partition: String,
    /// What the table takes.
    pub units: UnitLimit,
    /// What its index takes.
    pub index: Option<IndexLimit>,
    /// What items of one partition key take.
    pub partition_units: UnitLimit,
}

/// An index, and what it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexLimit {
    /// Its name.
    pub name: String,
    /// The attribute that an item must have to be in it.
    pub attribute: String,
    /// What it takes.
    pub units: UnitLimit,
}

/// Write units that something takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnitLimit {
    /// Units that are added in a second of the machine.
    pub per_second: f64,
    /// Unused units that are kept at most.
    pub kept: f64,
    /// Units that are there at the beginning.
    pub at_first: f64,
}

impl DynamoDbLimits {
    fn check(&self) {
        let limits = [Some(self.units), self.index.as_ref().map(|index| index.units), Some(self.partition_units)];
        for UnitLimit { per_second, kept, .. } in limits.into_iter().flatten() {
            assert!(per_second > 0.0 && kept >= 1.0, "a limit takes no write ever: {self:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "exceeds 1")]
    fn exclusive_faults_are_rejected_when_their_sum_exceeds_one() {
        Faults { throttle: 0.6, reset_before: 0.6, ..Faults::default() }.check();
    }
}
