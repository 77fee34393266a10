//! The rule is plain Rust: `cargo test` runs it without a sandbox.

include!("../src/lib.rs");

#[test]
fn output_grows_with_cadence_and_resistance() {
    assert_eq!(output(Effort { cadence: 80.0, resistance: 78.0 }), 164.45);
    assert_eq!(output(Effort { cadence: 30.0, resistance: 33.0 }), 63.7);
}
