//! The size of the shipped plugins: every host fetches and compiles them, and a function's package has them all.

use paceline_testbed::{plugins, require};

/// The shipped plugins, and the KiB that each has at most: what they had when this was written, rounded up.
const SHIPPED_KIB: [(&str, usize); 4] = [("output", 33), ("telemetry", 42), ("best-output", 42), ("last-output", 48)];

#[test]
fn shipped_plugins_do_not_grow() {
    require!(Plugins);
    for (name, kib) in SHIPPED_KIB {
        let bytes = plugins::bytes(name).len();
        assert!(bytes <= kib << 10, "{name} has {bytes} bytes, more than {kib} KiB");
    }
}
