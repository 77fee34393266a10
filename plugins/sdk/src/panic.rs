//! Panics. WebAssembly passes nothing of a panic to the host but that there was one: what it says needs an import, `log`,
//! which costs each batch some microseconds. So there is a feature for it.

/// Has the message of a panic, with file and line, written to the log: the host adds the last line before a trap to the
/// reason of the dead letter. Every call of the host begins with it.
#[cfg(all(target_arch = "wasm32", feature = "panic-messages"))]
pub(crate) fn report_panics() {
    use alloc::boxed::Box;
    use alloc::string::ToString;
    use core::sync::atomic::{AtomicBool, Ordering};

    static REPORTED: AtomicBool = AtomicBool::new(false);
    if !REPORTED.swap(true, Ordering::Relaxed) {
        // For the author: the operator reads the dead letter.
        std::panic::set_hook(Box::new(|panic| crate::log::debug(&panic.to_string())));
    }
}

/// In native tests the panic itself is seen, and a plugin without the feature traps without a message.
#[cfg(not(all(target_arch = "wasm32", feature = "panic-messages")))]
pub(crate) fn report_panics() {}

/// The panic handler of a plugin without the standard library: it traps at once. What formats messages of panics is then
/// left out of the component, half of the size of a small one. The crate begins with `#![cfg_attr(not(test), no_std)]`, and
/// the SDK has the features `default-features = false, features = ["allocator"]`. Names such as `String` and `format!` come
/// from `alloc`.
///
/// ```
/// extern crate alloc;
///
/// paceline_plugin::trap_on_panic!();
/// ```
#[macro_export]
macro_rules! trap_on_panic {
    () => {
        #[cfg(target_arch = "wasm32")]
        #[panic_handler]
        // So that the compiler sees that nothing reads the message.
        #[inline(always)]
        fn trap(_: &::core::panic::PanicInfo<'_>) -> ! {
            ::core::arch::wasm32::unreachable()
        }
    };
}
