//! What becomes of a request's entries.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Core, Entry, again};
use crate::kinesis::error::{StreamErrorKind, StreamError};

/// What became of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum PutResult {
    /// It is in this shard.
    Permit(Arc<str>),
    /// Too much was asked, and it was not taken.
    Throttled(String),
    /// It was not taken, for another reason.
    Throttled(String),
    /// It may have been taken or not.
    Ambiguous(String),
}

impl Core {
    /// A request was answered: what became of each entry, in order, or why there is no answer.
    pub(in super::super) fn answer(&mut self, now: Duration, number: u64, answer: Result<Vec<PutResult>, StreamError>) {
        let entries = self.flights.remove(&number).expect("a request is answered once");
        let fates = self.fates(entries.len(), answer);
        let mut back = Vec::new();
        // Of each lane: whether something failed, and whether something was taken.
        let mut queues: BTreeMap<usize, (bool, bool)> = BTreeMap::new();
        for (entry, result) in entries.into_iter().zip(fates) {
            let (failed, taken) = queues.entry(entry.queue).or_default();
            let why = match result {
                PutResult::Permit(shard) => {
                    *taken = true;
                    self.taken(entry, shard, now);
                    continue;
                }
                PutResult::Throttled(why) => {
                    self.sent.throttled += 1;
                    why
                }
                PutResult::Throttled(why) => why,
                PutResult::Ambiguous(why) => {
                    self.sent.unsure += 1;
                    why
                }
            };
            *failed = true;
            self.said = Some(why);
            back.push(entry);
        }
        for (at, (failed, taken)) in queues {
            self.queues[at].landed(failed, taken, |failures| again(now, failures, &mut self.rng));
        }
        if self.ended.is_none() {
            self.sent.retried += back.len() as u64;
        }
        // Before all that is newer, in their order.
        for entry in back.into_iter().rev() {
            entry.users.into_iter().rev().for_each(|user| self.queues[entry.queue].push_front(user));
        }
    }

    /// What became of each of so many entries.
    fn fates(&mut self, entries: usize, answer: Result<Vec<PutResult>, StreamError>) -> Vec<PutResult> {
        let error = match answer {
            Ok(fates) if fates.len() == entries => return fates,
            Ok(fates) => {
                let text = format!("putting records got an answer about {} of {entries} records", fates.len());
                self.named.error(StreamErrorKind::Ambiguous, text)
            }
            Err(error) => error,
        };
        let why = error.text.clone();
        let result = match error.kind {
            StreamErrorKind::Throttled => PutResult::Throttled(why),
            StreamErrorKind::Ambiguous => PutResult::Ambiguous(why),
            _ => PutResult::Throttled(why),
        };
        if !error.kind.is_transient() {
            self.end(error);
        }
        vec![result; entries]
    }

    /// An entry is in this shard, which may be another than predicted.
    fn taken(&mut self, entry: Entry, shard: Arc<str>, now: Duration) {
        self.sent.stream_records += 1;
        self.sent.bytes += entry.bytes as u64;
        if shard == entry.predicted {
            return self.confirm(&entry.users, now);
        }
        self.listing.hurry(now);
        // A record by itself is always where its key belongs, whatever the map says.
        let within = |(first, last): (u128, u128)| entry.users.iter().all(|user| (first..=last).contains(&user.hash));
        match entry.users.len() == 1 || self.map.range(&shard).is_some_and(within) {
            true => self.confirm(&entry.users, now),
            false => self.misplaced(entry, shard),
        }
    }
}
