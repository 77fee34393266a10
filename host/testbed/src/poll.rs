//! Polling: for what gives no event to wait for, such as the state of another process.

use std::time::Duration;

/// Waits before the next look. The caller has a deadline, and looks at once before the first wait.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where tests poll; what is polled gives no event to wait for"
)]
pub fn pause(interval: Duration) {
    std::thread::sleep(interval);
}
