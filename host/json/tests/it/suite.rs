//! Texts that are JSON (`y`), that are not (`n`), and on which readers differ (`i`), after the kinds of JSONTestSuite.
//!
//! Each text is read as a whole payload and as the value of a member, after messages of the same form whose values are of
//! every type, so that a template tries it.

mod texts;

use self::texts::{I, N, Y};
use crate::support::{projection, read_both_ways};

/// Clean messages before two that have the text.
const CLEAN: usize = 12;

/// A text as the value of a member, among messages of the same form.
fn as_values(text: &[u8]) -> Vec<Vec<u8>> {
    let message = |value: &[u8]| [b"{\"a\":", value, b",\"b\":1}"].concat();
    let nested = |value: &[u8]| [b"{ \"x\": {\"y\" : ", value, b" } } "].concat();
    let mut payloads = Vec::new();
    for before in [&b"1"[..], b"-2.5", b"\"x\"", b"true", b"null"] {
        // So many clean ones that templates never rest.
        payloads.extend(std::iter::repeat_n([message(before), nested(before)], CLEAN / 2).flatten());
        payloads.extend([message(text), nested(text)]);
    }
    payloads
}

/// Deep nesting is what serde_json refuses from a certain depth on: the depth counts from the payload, not from the value.
fn deep(depth: usize) -> [Vec<u8>; 2] {
    let arrays = format!("{{\"a\":{}1{},\"b\":1}}", "[".repeat(depth), "]".repeat(depth));
    let objects = format!("{{\"a\":{}1{},\"b\":1}}", "{\"a\":".repeat(depth), "}".repeat(depth));
    [arrays.into_bytes(), objects.into_bytes()]
}

#[track_caller]
fn check(texts: &[&[u8]], is_json: Option<bool>) {
    for text in texts {
        let shown = String::from_utf8_lossy(text);
        if let Some(is_json) = is_json {
            assert_eq!(serde_json::from_slice::<serde_json::Value>(text).is_ok(), is_json, "{shown}");
        }
        for pointers in [&["/a", "/b"][..], &["/b", "/x", "/x/y"], &["/a/a/a", "/x/y/z"], &[]] {
            let projection = projection(pointers);
            let payloads = as_values(text);
            let (outcomes, by_template) = read_both_ways(&projection, &payloads);
            for (at, outcome) in outcomes.iter().enumerate() {
                let expected = if at % (CLEAN + 2) < CLEAN { Some(true) } else { is_json };
                assert!(expected.is_none_or(|expected| outcome.is_ok() == expected), "{shown}: {outcome:?}");
            }
            assert!(by_template >= 5 * CLEAN - 2, "{shown}: {by_template} of {}", payloads.len());
            // As a whole payload, twice, so that the second one may be read by the template of the first.
            read_both_ways(&projection, &[text.to_vec(), text.to_vec(), b"{\"a\":1}".to_vec(), text.to_vec()]);
        }
    }
}

#[test]
fn texts_that_are_json_are_read() {
    check(Y, Some(true));
}

#[test]
fn texts_that_are_not_json_are_rejected() {
    check(N, Some(false));
}

#[test]
fn texts_on_which_readers_differ_are_read_in_one_way() {
    check(I, None);
}

#[test]
fn the_depth_of_a_message_is_judged_from_its_beginning() {
    let projection = projection(&["/a", "/b", "/a/a/a/a/b"]);
    for depth in [1, 20, 120, 125, 126, 127, 128, 129, 200] {
        let payloads: Vec<Vec<u8>> = (0..3).flat_map(|_| deep(depth)).collect();
        let (outcomes, _) = read_both_ways(&projection, &payloads);
        assert!(outcomes.iter().all(|outcome| outcome.is_ok() == (depth <= 126)), "{depth}");
    }
}
