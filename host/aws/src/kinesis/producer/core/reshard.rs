//! A new map of the shards, and aggregates that landed elsewhere under the old one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use paceline_pipeline::ErrorChain;

use super::{Core, Misplaced, retry_at};
use crate::kinesis::error::{StreamError, StreamErrorKind};
use crate::kinesis::producer::queue::{ShardQueue, UserRecord};
use crate::kinesis::producer::shard_map::ShardMap;

impl Core {
    /// The shards were listed, or could not be.
    pub(in super::super) fn listed(&mut self, now: Duration, listed: Result<ShardMap, StreamError>) {
        match listed {
            Ok(map) => {
                let is_new = !map.has_same_open(&self.map);
                self.listing.succeeded(now, is_new);
                if is_new || !self.misplaced.is_empty() {
                    self.next_map = Some(map);
                }
            }
            Err(error) => {
                self.last_error = Some(ErrorChain(&error).to_string());
                if error.kind.is_transient() {
                    self.listing.failed(now, |failures| retry_at(now, failures, &mut self.rng));
                    return;
                }
                self.listing.ended(now);
                // Without misplaced aggregates the old map suffices: Kinesis finds the shard of each record itself.
                if !self.misplaced.is_empty() {
                    self.end(error);
                }
            }
        }
    }

    /// Continues under this map. No request is in flight.
    pub(super) fn apply(&mut self, map: ShardMap, now: Duration) {
        self.map = map;
        let mut records = self.settle_misplaced(now);
        let mut old: HashMap<Arc<str>, ShardQueue> = HashMap::new();
        for mut queue in self.queues.drain(..) {
            records.extend(queue.drain());
            old.insert(Arc::clone(queue.shard()), queue);
        }
        let open = self.map.open().iter();
        let queue =
            |id: &Arc<str>| old.remove(id).unwrap_or_else(|| ShardQueue::new(Arc::clone(id), &self.config, now));
        self.queues = open.map(|shard| &shard.id).map(queue).collect();
        records.sort_by_key(|record| record.number);
        records.into_iter().for_each(|record| self.queues[self.map.locate(record.hash)].push(record));
    }

    /// Returns the records of misplaced aggregates that have to be sent again: all of an aggregate, unless all of it
    /// belongs where it is. Aggregates for which the map does not decide that yet stay misplaced.
    fn settle_misplaced(&mut self, now: Duration) -> Vec<UserRecord> {
        let mut again = Vec::new();
        for misplaced in std::mem::take(&mut self.misplaced) {
            let is_within = |hash: u128, (first, last): (u128, u128)| (first..=last).contains(&hash);
            match self.map.range(&misplaced.landed_in) {
                Some(range) if !is_within(misplaced.hash, range) => {
                    self.end(self.distributes_regardless_of_keys(&misplaced));
                    again.extend(misplaced.user_records);
                }
                Some(range) if misplaced.user_records.iter().all(|record| is_within(record.hash, range)) => {
                    self.confirm(&misplaced.user_records, now);
                }
                // A map under which it would land elsewhere again is no newer than the old one.
                Some(_) if self.map.open()[self.map.locate(misplaced.hash)].id != misplaced.predicted => {
                    self.sent.resharded += misplaced.user_records.len() as u64;
                    again.extend(misplaced.user_records);
                }
                _ => {
                    let shard = &misplaced.landed_in;
                    let stream = &self.stream_ref;
                    let text = format!("{stream}: the listed shards do not explain {shard} yet, which stored a record");
                    self.last_error = Some(text);
                    self.misplaced.push(misplaced);
                    self.listing.expedite(now);
                }
            }
        }
        again
    }

    fn distributes_regardless_of_keys(&self, Misplaced { hash, landed_in, .. }: &Misplaced) -> StreamError {
        self.stream_ref.error(
            StreamErrorKind::Fatal,
            format_args!(
                "it put an aggregate with the hash key {hash} into {landed_in}, which has other hash keys: it seems to \
                 distribute records regardless of their keys (its record distribution strategy is AUTO). Such a stream \
                 can't take aggregates; send without them"
            ),
        )
    }
}
