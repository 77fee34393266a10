//! Which subscription each consumer has to each shard, for handing them over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The last subscription of each consumer to each shard.
#[derive(Default)]
pub(super) struct Holders(HashMap<(String, String), Holder>);

struct Holder {
    since: Instant,
    /// Notified when another subscription takes over.
    taken: Arc<Notify>,
}

impl Holders {
    /// Gives the subscription to a new holder, unless the one before is younger than this. Returns what notifies the
    /// new one when it has to end.
    pub(super) fn take(&mut self, consumer: &str, shard: &str, younger_than: Duration) -> Option<Arc<Notify>> {
        let key = (consumer.to_owned(), shard.to_owned());
        if self.0.get(&key).is_some_and(|holder| holder.since.elapsed() < younger_than) {
            return None;
        }
        let taken = Arc::new(Notify::new());
        if let Some(before) = self.0.insert(key, Holder { since: Instant::now(), taken: Arc::clone(&taken) }) {
            before.taken.notify_one();
        }
        Some(taken)
    }
}
