//! Notices: short notes that hosts leave for each other and for operators.

use std::future::Future;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::StoreError;

/// A short note that hosts leave for each other and for operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Its name within the topic: at least one byte, and at most [`MAX_NOTICE_NAME_BYTES`].
    pub name: String,
    /// Its content, JSON.
    pub body: String,
    /// Counts its writes.
    pub version: u64,
    /// When it may be deleted, in seconds since 1970. From then on it counts as absent.
    pub expires: Option<u64>,
}

/// The maximum size of a notice's name. DynamoDB's sort keys have at most 1,024 bytes.
pub const MAX_NOTICE_NAME_BYTES: usize = 1024;

/// What a write of a notice expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expected {
    /// Any notice of this name, or none.
    Anything,
    /// No notice of this name.
    Nothing,
    /// The notice of this version.
    Version(u64),
}

/// Notices by topic.
pub trait NoticeStore: Send + Sync {
    /// The notices of a topic, by name, as of now (consistent), without those that have expired.
    fn list_notices(&self, topic: &str) -> impl Future<Output = Result<Vec<Notice>, StoreError>> + Send;

    /// Writes a notice, durably, if the topic's notice of this name is as expected. Returns whether it was written.
    fn put_notice(
        &self,
        topic: &str,
        notice: &Notice,
        expected: Expected,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

impl Notice {
    /// Whether it counts as absent at a time, in seconds since 1970.
    pub fn is_expired(&self, now: u64) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Refuses a name that not every store can hold.
    pub fn check_name(&self) -> Result<(), StoreError> {
        match self.name.len() {
            1..=MAX_NOTICE_NAME_BYTES => Ok(()),
            bytes => Err(StoreError::fatal(format!(
                "the name of a notice has {bytes} bytes: use 1 to {MAX_NOTICE_NAME_BYTES}"
            ))),
        }
    }
}

impl Expected {
    /// Whether it is met by the notice that there is, which has not expired.
    pub(super) fn is_met(self, found: Option<&Notice>) -> bool {
        match self {
            Self::Anything => true,
            Self::Nothing => found.is_none(),
            Self::Version(version) => found.is_some_and(|found| found.version == version),
        }
    }
}

/// The present time in seconds since 1970, by which notices expire.
pub fn notice_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
