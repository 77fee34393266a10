//! Panics. WebAssembly passes nothing of a panic to the host but that there was one: what it says needs an import, `log`,
//! which costs each batch some microseconds. So there is a feature for it.

/// Has the message of a panic, with file and line, written to the log: the host adds the last line before a trap to the
/// reason of the dead letter. Every call of the host begins with it.
#[cfg(all(target_arch = "wasm32", feature = "panic-messages"))]
pub(crate) fn report_panics() {
    use std::sync::atomic::{AtomicBool, Ordering};

    static REPORTED: AtomicBool = AtomicBool::new(false);
    if !REPORTED.swap(true, Ordering::Relaxed) {
        // For the author: the operator reads the dead letter.
        std::panic::set_hook(Box::new(|panic| crate::log::debug(&panic.to_string())));
    }
}

/// In native tests the panic itself is seen, and a plugin without the feature traps without a message.
#[cfg(not(all(target_arch = "wasm32", feature = "panic-messages")))]
pub(crate) fn report_panics() {}
