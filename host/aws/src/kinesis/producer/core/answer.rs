//! What becomes of a request's entries.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Core, Parcel, again};
use crate::kinesis::error::{Kind, StreamError};

/// What became of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Fate {
    /// It is in this shard.
    Taken(Arc<str>),
    /// Too much was asked, and it was not taken.
    Throttled(String),
    /// It was not taken, for another reason.
    Refused(String),
    /// It may have been taken or not.
    Unsure(String),
}

impl Core {
    /// A request was answered: what became of each entry, in order, or why there is no answer.
    pub(in super::super) fn answer(&mut self, now: Duration, number: u64, answer: Result<Vec<Fate>, StreamError>) {
        let parcels = self.flights.remove(&number).expect("a request is answered once");
        let fates = self.fates(parcels.len(), answer);
        let mut back = Vec::new();
        // Of each lane: whether something failed, and whether something was taken.
        let mut lanes: BTreeMap<usize, (bool, bool)> = BTreeMap::new();
        for (parcel, fate) in parcels.into_iter().zip(fates) {
            let (failed, taken) = lanes.entry(parcel.lane).or_default();
            let why = match fate {
                Fate::Taken(shard) => {
                    *taken = true;
                    self.taken(parcel, shard, now);
                    continue;
                }
                Fate::Throttled(why) => {
                    self.sent.throttled += 1;
                    why
                }
                Fate::Refused(why) => why,
                Fate::Unsure(why) => {
                    self.sent.unsure += 1;
                    why
                }
            };
            *failed = true;
            self.said = Some(why);
            back.push(parcel);
        }
        for (at, (failed, taken)) in lanes {
            self.lanes[at].landed(failed, taken, |failures| again(now, failures, &mut self.rng));
        }
        if self.ended.is_none() {
            self.sent.retried += back.len() as u64;
        }
        // Before all that is newer, in their order.
        for parcel in back.into_iter().rev() {
            parcel.users.into_iter().rev().for_each(|user| self.lanes[parcel.lane].push_front(user));
        }
    }

    /// What became of each of so many entries.
    fn fates(&mut self, entries: usize, answer: Result<Vec<Fate>, StreamError>) -> Vec<Fate> {
        let error = match answer {
            Ok(fates) if fates.len() == entries => return fates,
            Ok(fates) => {
                let text = format!("putting records got an answer about {} of {entries} records", fates.len());
                self.named.error(Kind::Unsure, text)
            }
            Err(error) => error,
        };
        let why = error.text.clone();
        let fate = match error.kind {
            Kind::Throttled => Fate::Throttled(why),
            Kind::Unsure => Fate::Unsure(why),
            _ => Fate::Refused(why),
        };
        if !error.kind.passes() {
            self.end(error);
        }
        vec![fate; entries]
    }

    /// An entry is in this shard, which may be another than predicted.
    fn taken(&mut self, parcel: Parcel, shard: Arc<str>, now: Duration) {
        self.sent.stream_records += 1;
        self.sent.bytes += parcel.bytes as u64;
        if shard == parcel.predicted {
            return self.confirm(&parcel.users, now);
        }
        self.listing.hurry(now);
        // A record by itself is always where its key belongs, whatever the map says.
        let within = |(first, last): (u128, u128)| parcel.users.iter().all(|user| (first..=last).contains(&user.hash));
        match parcel.users.len() == 1 || self.map.range(&shard).is_some_and(within) {
            true => self.confirm(&parcel.users, now),
            false => self.stray(parcel, shard),
        }
    }
}
