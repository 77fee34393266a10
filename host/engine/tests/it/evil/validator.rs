//! Validators whose reasons are too long, or that reject rows that do not exist.

use paceline_engine::{Engine, Fault, Limits, Validated, limits};

use super::{
    ENGINE, Efforts, UNFUELLED, all_rows, assert_contains, assert_unharmed, deed, engine, plugin, without_fuel_limit,
};
use crate::plugins::require_plugins;

fn validate(engine: &Engine, what: &str, efforts: &Efforts) -> Validated {
    let validator = plugin(engine, "evil-validator").validator(&deed(what)).unwrap();
    validator.session().validate(efforts.rows(), &efforts.cadence()).unwrap()
}

fn reason_of(bytes: usize) -> Fault {
    Fault::InvalidResult(format!("a reason of {bytes} bytes; 1024 are allowed (limit `reason-bytes`)"))
}

#[test]
fn reason_bytes_limit_violated_names_it_and_fails_that_row_alone() {
    require_plugins!();
    let validated = validate(&UNFUELLED, "huge-reason", &Efforts::with_victim(100, 37));
    assert_eq!(validated, Validated { rejected: vec![], failed: vec![(37, reason_of(4 << 20))] });
    assert_unharmed(&UNFUELLED);
}

#[test]
fn returned_bytes_limit_holds_for_texts_too() {
    require_plugins!();
    let engine = engine(Limits { returned_bytes: 1 << 20, ..without_fuel_limit() });
    let validated = validate(&engine, "huge-reason", &Efforts::with_victim(100, 37));
    let fault = Fault::TooManyBytes(1 << 20);
    assert_eq!(validated, Validated { rejected: vec![], failed: vec![(37, fault)] });
    assert_unharmed(&engine);
}

#[test]
fn reasons_that_are_too_long_together_are_checked_one_by_one() {
    require_plugins!();
    // 19 MiB, more than one call may return; each is longer than a reason may be.
    let validated = validate(&UNFUELLED, "huge-reasons", &Efforts::new(300));
    assert_eq!(validated, Validated { rejected: vec![], failed: all_rows(300, &reason_of(1 << 16)) });
    assert_unharmed(&UNFUELLED);
}

#[test]
fn reasons_that_are_too_long_together_count_where_each_is_short_enough() {
    require_plugins!();
    let engine = engine(Limits { reason_bytes: 1 << 16, ..Limits::default() });
    let validated = validate(&engine, "huge-reasons", &Efforts::new(300));
    assert_eq!(validated.failed, []);
    let expected: Vec<_> = (0..300).map(|row| (row, 1 << 16)).collect();
    assert_eq!(validated.rejected.iter().map(|(row, reason)| (*row, reason.len())).collect::<Vec<_>>(), expected);
}

#[test]
fn a_rejection_of_a_row_that_does_not_exist_rejects_none() {
    require_plugins!();
    let validated = validate(&ENGINE, "no-such-row", &Efforts::new(4));
    let fault = Fault::InvalidResult("a rejection of row 1 in a batch of 1 rows".to_owned());
    assert_eq!(validated, Validated { rejected: vec![], failed: all_rows(4, &fault) });
    assert_unharmed(&ENGINE);
}

#[test]
fn a_row_rejected_twice_is_a_fault() {
    require_plugins!();
    let validated = validate(&ENGINE, "one-row-twice", &Efforts::new(4));
    let fault = Fault::InvalidResult("two rejections of row 0".to_owned());
    assert_eq!(validated, Validated { rejected: vec![], failed: all_rows(4, &fault) });
    assert_unharmed(&ENGINE);
}

#[test]
fn an_error_that_is_too_long_to_be_passed_is_another_fault() {
    require_plugins!();
    let validated = validate(&UNFUELLED, "huge-error", &Efforts::new(2));
    let fault = Fault::TooManyBytes(limits::RETURNED_BYTES);
    assert_eq!(validated, Validated { rejected: vec![], failed: all_rows(2, &fault) });
    assert_unharmed(&UNFUELLED);
}

#[test]
fn a_huge_error_is_cut() {
    require_plugins!();
    let engine = engine(Limits { returned_bytes: 64 << 20, ..without_fuel_limit() });
    let validated = validate(&engine, "huge-error", &Efforts::new(2));
    let fault = Fault::Failed("x".repeat(limits::REASON_BYTES));
    assert_contains(&fault, &["the plugin returned an error: xxx"]);
    assert_eq!(validated, Validated { rejected: vec![], failed: all_rows(2, &fault) });
    assert_unharmed(&engine);
}

#[test]
fn an_error_is_cut_by_bytes_between_two_characters() {
    require_plugins!();
    let validated = validate(&ENGINE, "long-error", &Efforts::new(1));
    // One byte and 511 characters of two: the 512th would be beyond 1024 bytes.
    let fault = Fault::Failed(format!("x{}", "é".repeat(511)));
    assert_eq!(validated, Validated { rejected: vec![], failed: all_rows(1, &fault) });
}
