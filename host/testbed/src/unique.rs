//! Names that no other test uses.

use std::sync::atomic::{AtomicU64, Ordering};

/// A name for a table or a stream that no other test uses, in this process or another. It begins with `name`.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{name}-{}-{count}-{:08x}", std::process::id(), fastrand::u32(..))
}
