//! Tests with a missing prerequisite are skipped, or fail in strict runs.

use std::process::{Command, Output};

use paceline_testbed::environment::{DYNAMODB_ENDPOINT, STRICT};
use paceline_testbed::require;

/// Runs one test of this binary, without DynamoDB Local.
fn run(test: &str, strict: bool) -> Output {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", test]).env_remove(DYNAMODB_ENDPOINT).env_remove(STRICT);
    if strict {
        program.env(STRICT, "1");
    }
    program.output().unwrap()
}

#[test]
fn a_test_without_its_prerequisite_is_skipped_and_says_so() {
    for test in ["needs_dynamodb", "needs_dynamodb_asynchronously"] {
        let output = run(&format!("prerequisite::{test}"), false);
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8(output.stdout).unwrap().contains("1 passed"));
        let expected = format!(
            "skipped: paceline-testbed prerequisite::{test}: DynamoDB Local is not running: \
             `scripts/local-aws cargo test` runs it, with Java 17 or later\n"
        );
        assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
    }
}

#[test]
fn in_a_strict_run_a_test_without_its_prerequisite_fails() {
    let output = run("prerequisite::needs_dynamodb", true);
    assert!(!output.status.success(), "{output:?}");
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(text.contains("DynamoDB Local is not running"), "{text}");
    assert!(text.contains("PACELINE_TEST_STRICT is set"), "{text}");
    assert!(!text.contains("skipped:"), "{text}");
}

#[test]
fn needs_dynamodb() {
    require!(DynamoDbLocal);
    assert!(std::env::var_os(DYNAMODB_ENDPOINT).is_some());
}

#[tokio::test]
async fn needs_dynamodb_asynchronously() {
    require!(DynamoDbLocal);
    assert!(std::env::var_os(DYNAMODB_ENDPOINT).is_some());
}
