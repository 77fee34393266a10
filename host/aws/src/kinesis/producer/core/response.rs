//! The results of a request's entries.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use paceline_pipeline::ErrorChain;

use super::{Core, Misplaced, retry_at};
use crate::kinesis::error::{StreamError, StreamErrorKind};
use crate::kinesis::producer::queue::Entry;
use crate::kinesis::producer::request::PutResult;

/// What happened to the entries of one queue.
#[derive(Debug, Default)]
struct QueueResult {
    failed: bool,
    stored: bool,
}

impl Core {
    /// The response to a request: the result of each entry, in order, or why there is none.
    pub(in super::super) fn answered(
        &mut self,
        now: Duration,
        number: u64,
        response: Result<Vec<PutResult>, StreamError>,
    ) {
        let entries = self.in_flight.remove(&number).expect("a request is answered once");
        let results = self.results(entries.len(), response);
        let mut failed = Vec::new();
        let mut queues: BTreeMap<usize, QueueResult> = BTreeMap::new();
        for (entry, result) in entries.into_iter().zip(results) {
            let queue = queues.entry(entry.queue).or_default();
            let why = match result {
                PutResult::Stored(shard) => {
                    queue.stored = true;
                    self.stored(entry, shard, now);
                    continue;
                }
                PutResult::Throttled(why) => {
                    self.sent.throttled += 1;
                    why
                }
                PutResult::Rejected(why) => why,
                PutResult::Ambiguous(why) => {
                    self.sent.ambiguous += 1;
                    why
                }
            };
            queue.failed = true;
            self.last_error = Some(why);
            failed.push(entry);
        }
        for (index, QueueResult { failed, stored }) in queues {
            self.queues[index].answered(failed, stored, |failures| retry_at(now, failures, &mut self.rng));
        }
        if self.ended.is_none() {
            self.sent.retried += failed.len() as u64;
        }
        // Before all later records, in their order.
        for entry in failed.into_iter().rev() {
            let queue = &mut self.queues[entry.queue];
            entry.user_records.into_iter().rev().for_each(|record| queue.push_front(record));
        }
    }

    /// The result of each of so many entries.
    fn results(&mut self, entries: usize, response: Result<Vec<PutResult>, StreamError>) -> Vec<PutResult> {
        let error = match response {
            Ok(results) if results.len() == entries => return results,
            Ok(results) => {
                let text = format_args!("putting {entries} records got a response for {} records", results.len());
                self.stream_ref.error(StreamErrorKind::Ambiguous, text)
            }
            Err(error) => error,
        };
        let why = ErrorChain(&error).to_string();
        let result = match error.kind {
            StreamErrorKind::Throttled => PutResult::Throttled(why),
            StreamErrorKind::Ambiguous => PutResult::Ambiguous(why),
            _ => PutResult::Rejected(why),
        };
        if !error.kind.is_transient() {
            self.end(error);
        }
        vec![result; entries]
    }

    /// An entry is in this shard, which may be another than predicted.
    fn stored(&mut self, entry: Entry, shard: Arc<str>, now: Duration) {
        self.sent.stream_records += 1;
        self.sent.bytes += entry.bytes as u64;
        if shard == entry.predicted {
            return self.confirm(&entry.user_records, now);
        }
        self.listing.expedite(now);
        // A plain record is always where its key belongs, whatever the map shows.
        let belong =
            |(first, last): (u128, u128)| entry.user_records.iter().all(|record| (first..=last).contains(&record.hash));
        match entry.user_records.len() == 1 || self.map.range(&shard).is_some_and(belong) {
            true => self.confirm(&entry.user_records, now),
            false => {
                let Entry { user_records, hash, predicted, .. } = entry;
                self.misplaced.push(Misplaced { user_records, hash, predicted, landed_in: shard });
            }
        }
    }
}
