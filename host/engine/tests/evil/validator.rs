//! Validators whose reasons are too long or name what is not there.

use paceline_engine::plugin::Validated;
use paceline_engine::{Engine, Fault, Limits, limits};

use crate::{
    ENGINE, Efforts, UNFUELLED, all_rows, assert_says, assert_unharmed, deed, engine, plugin, without_fuel_bound,
};

fn validate(engine: &Engine, what: &str, efforts: &Efforts) -> Validated {
    let validator = plugin(engine, "evil-validator").validator(&deed(what)).unwrap();
    validator.session().validate(efforts.rows(), &efforts.cadence()).unwrap()
}

fn reason_of(bytes: usize) -> Fault {
    Fault::BadAnswer(format!("a reason of {bytes} bytes, 1024 are allowed (bound `reason-bytes`)"))
}

#[test]
fn reason_bytes_bound_violated_names_it_and_fails_that_row_alone() {
    let validated = validate(&UNFUELLED, "huge-reason", &Efforts::with_victim(100, 37));
    assert_eq!(validated, Validated { rejected: vec![], failed: vec![(37, reason_of(4 << 20))] });
    assert_unharmed(&UNFUELLED);
}

#[test]
fn returned_bytes_bound_holds_for_texts_too() {
    let engine = engine(Limits { returned_bytes: 1 << 20, ..without_fuel_bound() });
    let validated = validate(&engine, "huge-reason", &Efforts::with_victim(100, 37));
    let fault = Fault::TooMuchReturned(1 << 20);
    assert_eq!(validated, Validated { rejected: vec![], failed: vec![(37, fault)] });
    assert_unharmed(&engine);
}

#[test]
fn reasons_that_are_too_much_together_are_looked_at_one_by_one() {
    // 19 MiB, more than may be returned at once; each of them is more than a reason may have.
    let validated = validate(&ENGINE, "huge-reasons", &Efforts::new(300));
    assert_eq!(validated, Validated { rejected: vec![], failed: all_rows(300, &reason_of(1 << 16)) });
    assert_unharmed(&ENGINE);
}

#[test]
fn reasons_that_are_too_much_together_count_where_each_is_short_enough() {
    let engine = engine(Limits { reason_bytes: 1 << 16, ..Limits::default() });
    let validated = validate(&engine, "huge-reasons", &Efforts::new(300));
    assert_eq!(validated.failed, []);
    let expected: Vec<_> = (0..300).map(|row| (row, 1 << 16)).collect();
    assert_eq!(validated.rejected.iter().map(|(row, reason)| (*row, reason.len())).collect::<Vec<_>>(), expected);
}

#[test]
fn a_rejection_of_a_row_that_is_not_there_rejects_none() {
    let validated = validate(&ENGINE, "no-such-row", &Efforts::new(4));
    let fault = Fault::BadAnswer("a rejection of row 1, where there are 1 rows".to_owned());
    assert_eq!(validated, Validated { rejected: vec![], failed: all_rows(4, &fault) });
    assert_unharmed(&ENGINE);
}

#[test]
fn a_row_rejected_twice_is_a_fault() {
    let validated = validate(&ENGINE, "one-row-twice", &Efforts::new(4));
    let fault = Fault::BadAnswer("two rejections of row 0".to_owned());
    assert_eq!(validated, Validated { rejected: vec![], failed: all_rows(4, &fault) });
    assert_unharmed(&ENGINE);
}

#[test]
fn an_error_too_long_to_be_taken_over_is_none() {
    let validated = validate(&UNFUELLED, "huge-error", &Efforts::new(2));
    let fault = Fault::TooMuchReturned(limits::RETURNED_BYTES);
    assert_eq!(validated, Validated { rejected: vec![], failed: all_rows(2, &fault) });
    assert_unharmed(&UNFUELLED);
}

#[test]
fn a_huge_error_that_was_taken_over_is_cut() {
    let engine = engine(Limits { returned_bytes: 64 << 20, ..without_fuel_bound() });
    let validated = validate(&engine, "huge-error", &Efforts::new(2));
    let fault = Fault::Failed("x".repeat(limits::REASON_BYTES));
    assert_says(&fault, &["the plugin failed: xxx"]);
    assert_eq!(validated, Validated { rejected: vec![], failed: all_rows(2, &fault) });
    assert_unharmed(&engine);
}

#[test]
fn an_error_is_cut_by_bytes_between_two_characters() {
    let validated = validate(&ENGINE, "long-error", &Efforts::new(1));
    // One byte and 511 characters of two: the 512th would be beyond 1024 bytes.
    let fault = Fault::Failed(format!("x{}", "é".repeat(511)));
    assert_eq!(validated, Validated { rejected: vec![], failed: all_rows(1, &fault) });
}
