//! Something that happens once, and that tasks wait for.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Something that happens once. Tasks that wait for it go on in the order in which they began to wait; those of
/// `tokio::sync::watch` go on in a random one.
#[derive(Debug, Default)]
pub(crate) struct Latch {
    is_set: AtomicBool,
    notify: Notify,
}

impl Latch {
    pub(crate) fn set(&self) {
        self.is_set.store(true, Ordering::SeqCst);
        self.notify.notify_waiters();
    }

    pub(crate) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::SeqCst)
    }

    pub(crate) async fn wait(&self) {
        let notified = self.notify.notified();
        let mut notified = std::pin::pin!(notified);
        // Before it is looked at: otherwise it could happen in between.
        notified.as_mut().enable();
        if !self.is_set() {
            notified.await;
        }
    }
}
