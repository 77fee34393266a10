//! Instructions a record: a slow change is seen without a clock.

use std::process::{Command, Output};

use paceline_testbed::require;

/// Counts by Valgrind, and compares with `host/bench/instructions.toml`.
fn count(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_paceline-bench");
    Command::new(program).arg("instructions").args(arguments).output().unwrap()
}

#[test]
#[expect(clippy::disallowed_macros, reason = "the harness captures it, and shows it where it is asked to")]
fn a_record_takes_as_many_instructions_as_before() {
    require!(Plugins, Valgrind);
    let output = count(&[]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    // `make test` shows it where the architecture has no counts.
    eprintln!("{text}");
}

#[test]
fn a_count_does_not_depend_on_the_number_of_records() {
    require!(Valgrind);
    for (smaller, larger) in [("1", "3"), ("10", "20")] {
        let output = count(&["projection", smaller, larger]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{smaller} and {larger}: {text}{}", String::from_utf8_lossy(&output.stderr));
    }
}
