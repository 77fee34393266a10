//! The size of the shipped plugins: every host fetches and compiles them, and a function's package has them all.

use paceline_testbed::{plugins, require};

/// Bytes that a shipped plugin has at most.
const SHIPPED_BYTES: usize = 30 << 10;

#[test]
fn a_shipped_plugin_has_30_kib_at_most() {
    require!(Plugins);
    let sizes = ["telemetry", "output", "last-output", "best-output"].map(|name| (name, plugins::bytes(name).len()));
    assert!(sizes.iter().all(|&(_, bytes)| bytes <= SHIPPED_BYTES), "{SHIPPED_BYTES} bytes at most: {sizes:?}");
}
