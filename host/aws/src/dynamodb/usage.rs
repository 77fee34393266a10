//! What the requests cost.

use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::ConsumedCapacity;

use super::error::{TableError, TableErrorKind, TableRef};

/// What has been asked of DynamoDB since the store was opened, and what that cost, as DynamoDB counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Requests sent, also those that failed.
    pub requests: u64,
    /// Write capacity units, those of the indexes among them. A write whose condition fails costs some too, but
    /// DynamoDB does not say how many; and DynamoDB Local says nothing of statements.
    pub write_units: f64,
    /// Read capacity units.
    pub read_units: f64,
    /// Requests, and single writes of a request, that were throttled.
    pub throttles: u64,
    /// Items that need not be read, because they were in memory.
    pub cache_hits: u64,
    /// Items that had to be read.
    pub cache_misses: u64,
}

impl Usage {
    /// What has come to it since an earlier look.
    pub fn since(&self, earlier: Self) -> Self {
        Self {
            requests: self.requests - earlier.requests,
            write_units: self.write_units - earlier.write_units,
            read_units: self.read_units - earlier.read_units,
            throttles: self.throttles - earlier.throttles,
            cache_hits: self.cache_hits - earlier.cache_hits,
            cache_misses: self.cache_misses - earlier.cache_misses,
        }
    }
}

/// Counts the usage.
#[derive(Debug, Default)]
pub(super) struct Meter(Mutex<Usage>);

impl Meter {
    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn read(&self) -> Usage {
        *self.usage()
    }

    pub(super) fn request(&self) {
        self.usage().requests += 1;
    }

    pub(super) fn throttle(&self) {
        self.usage().throttles += 1;
    }

    /// Sorts a failed request, and counts it where it was throttled.
    pub(super) fn classify<E>(&self, table: &TableRef, doing: &str, error: SdkError<E, HttpResponse>) -> TableError
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let error = table.classify(doing, error);
        if error.kind == TableErrorKind::Throttled {
            self.throttle();
        }
        error
    }

    pub(super) fn lookups(&self, hits: u64, misses: u64) {
        let mut usage = self.usage();
        usage.cache_hits += hits;
        usage.cache_misses += misses;
    }

    pub(super) fn reads<'a>(&self, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        self.usage().read_units += units(consumed);
    }

    pub(super) fn writes<'a>(&self, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        self.usage().write_units += units(consumed);
    }
}

fn units<'a>(consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) -> f64 {
    consumed.into_iter().filter_map(ConsumedCapacity::capacity_units).sum()
}
