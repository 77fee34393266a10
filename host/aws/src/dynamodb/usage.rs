//! Counts requests and the capacity that they consume.

use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::ConsumedCapacity;

use super::error::{TableError, TableErrorKind, TableRef};
use super::throttle::{ThrottleCause, Throttled, Throttles};

/// Requests of a store since it was opened, and the capacity that they consumed, as DynamoDB reports it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Requests sent, including failed ones.
    pub requests: u64,
    /// Write capacity units, including those of the indexes. Not included are writes whose condition failed, because
    /// DynamoDB does not report their units, and statements in DynamoDB Local, which reports none for them.
    pub write_units: f64,
    /// Write capacity units of writes whose condition failed, which DynamoDB bills: about, by the size of the item.
    pub refused_units: f64,
    /// Read capacity units.
    pub read_units: f64,
    /// Throttled requests, and throttled writes within a request.
    pub throttles: u64,
    /// Items found in the cache.
    pub cache_hits: u64,
    /// Items read from the table.
    pub cache_misses: u64,
}

impl Usage {
    /// The usage after `earlier`, which is an earlier value of the same store.
    pub fn since(&self, earlier: Self) -> Self {
        Self {
            requests: self.requests - earlier.requests,
            write_units: self.write_units - earlier.write_units,
            refused_units: self.refused_units - earlier.refused_units,
            read_units: self.read_units - earlier.read_units,
            throttles: self.throttles - earlier.throttles,
            cache_hits: self.cache_hits - earlier.cache_hits,
            cache_misses: self.cache_misses - earlier.cache_misses,
        }
    }
}

/// The counters behind [`Usage`] and [`Throttles`].
#[derive(Debug, Default)]
pub(super) struct UsageCounter(Mutex<(Usage, Throttles)>);

impl UsageCounter {
    fn lock(&self) -> MutexGuard<'_, (Usage, Throttles)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn snapshot(&self) -> Usage {
        self.lock().0
    }

    pub(super) fn throttles(&self) -> Throttles {
        self.lock().1.clone()
    }

    pub(super) fn add_request(&self) {
        self.lock().0.requests += 1;
    }

    /// Counts a request or a write that was throttled.
    pub(super) fn add_throttle(&self, by: impl IntoIterator<Item = Throttled>) {
        let (usage, throttles) = &mut *self.lock();
        usage.throttles += 1;
        for by in by {
            *throttles.entry(by).or_default() += 1;
        }
    }

    /// Counts a batch that came back undone.
    pub(super) fn add_unprocessed(&self, table: &TableRef) {
        self.add_throttle([Throttled::new(&table.table, ThrottleCause::Unprocessed)]);
    }

    /// Classifies a failed request and counts it if it was throttled.
    pub(super) fn classify<E>(&self, table: &TableRef, doing: &str, error: SdkError<E, HttpResponse>) -> TableError
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let error = table.classify(doing, error);
        self.count_if_throttled(&error);
        error
    }

    /// Counts an error if it means that something was throttled.
    pub(super) fn count_if_throttled(&self, error: &TableError) {
        if error.kind == TableErrorKind::Throttled {
            self.add_throttle(error.throttled.iter().cloned());
        }
    }

    pub(super) fn add_lookups(&self, hits: u64, misses: u64) {
        let usage = &mut self.lock().0;
        usage.cache_hits += hits;
        usage.cache_misses += misses;
    }

    pub(super) fn add_reads<'a>(&self, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        self.lock().0.read_units += units(consumed);
    }

    /// Counts a write of an item of so many bytes whose condition failed.
    pub(super) fn add_refused(&self, bytes: usize) {
        self.lock().0.refused_units += bytes.div_ceil(1024).max(1) as f64;
    }

    pub(super) fn add_writes<'a>(&self, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        self.lock().0.write_units += units(consumed);
    }
}

fn units<'a>(consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) -> f64 {
    consumed.into_iter().filter_map(ConsumedCapacity::capacity_units).sum()
}
