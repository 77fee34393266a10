//! Which messages are read by a template, and what is left to serde_json.

use crate::support::{Field, read_texts};

/// How many of two messages are read by a template.
#[track_caller]
fn by_template(one: &str, other: &str) -> usize {
    read_texts(&["/a", "/b", "/b/c", "/d"], &[one, other]).1
}

#[test]
fn a_message_of_the_form_before_is_read_by_its_template() {
    for (one, other) in [
        (r#"{"a":1,"d":"x"}"#, r#"{"a":-23.5,"d":"a longer text"}"#),
        (r#"{"a":1,"d":"x"}"#, r#"{"a":"Zoë","d":null}"#),
        (r#"{"a": 1, "d": "x"}"#, r#"{"a": true, "d": false}"#),
        ("{\n\t\"a\" : 1 ,\r\n\t\"d\" : 2\n}\n", "{\n\t\"a\" : 45.233333333333334 ,\r\n\t\"d\" : 1e3\n}\n"),
        (r#"{"a":1,"b":{"c":2,"x":{"a":3}},"d":4}"#, r#"{"a":5,"b":{"c":6,"x":{"a":7}},"d":8}"#),
        (r#"{"b":{},"d":{}}"#, r#"{"b":{},"d":{}}"#),
        (r#"{}"#, r#"{}"#),
        ("\u{feff}{\"a\":1}", r#"{"a":2}"#),
        (r#"{"unknown":1,"unknown":2,"a":3}"#, r#"{"unknown":4,"unknown":5,"a":6}"#),
        (
            r#"{"a name of more than twenty-four bytes":1,"a":2}"#,
            r#"{"a name of more than twenty-four bytes":3,"a":4}"#,
        ),
        (r#"{"a":"x","d":"y"}"#, r#"{"a":"with \"escapes\" \u00e9 \ud83d\ude00\\","d":"\n"}"#),
        (r#"{"a":1,"d":2}"#, r#"{"a":123456789012345678901234567890,"d":1.7976931348623157e308}"#),
    ] {
        assert_eq!(by_template(one, other), 1, "{one} {other}");
    }
}

#[test]
fn a_message_of_another_form_is_read_by_serde_json() {
    for (one, other) in [
        (r#"{"a":1,"d":2}"#, r#"{"d":1,"a":2}"#),
        (r#"{"a":1,"d":2}"#, r#"{"a": 1,"d":2}"#),
        (r#"{"a":1,"d":2}"#, r#"{"a":1,"d":2} "#),
        (r#"{"a":1,"d":2}"#, r#"{"a":1,"d":[2]}"#),
        (r#"{"a":1,"d":2}"#, r#"{"a":1,"d":{}}"#),
        (r#"{"a":1,"d":2}"#, r#"{"a":1,"e":2}"#),
        (r#"{"a name of more than twenty-four bytes":1}"#, r#"{"a name of more than twenty-four bytas":1}"#),
        // Forms that are not learned.
        (r#"{"a":[1],"d":2}"#, r#"{"a":[1],"d":2}"#),
        (r#"{"\u0061":1}"#, r#"{"\u0061":1}"#),
        (r#"{"a":1,"a":2}"#, r#"{"a":1,"a":2}"#),
        (r#"{"b":{"c":1},"b":{"d":2}}"#, r#"{"b":{"c":1},"b":{"d":2}}"#),
        (r#"{"a":1}"#, r#"{"a":01}"#),
        (r#"{"a":1}"#, r#"{"a":1e400}"#),
        (r#"{"a":1}"#, r#"{"a":"\ud800"}"#),
        (r#"{"a":1}"#, r#"{"a":1"#),
        (r#"{"a":1}"#, r#"{"a":1}}"#),
    ] {
        assert_eq!(by_template(one, other), 0, "{one} {other}");
    }
}

/// The bytes behind a payload are those of the next one: a message that ends too early is not read on there.
#[test]
fn a_template_does_not_read_beyond_its_message() {
    let whole = r#"{"a":1,"d":"x"}"#;
    for cut in 1..whole.len() {
        let (begin, end) = whole.split_at(cut);
        let (outcomes, by_template) = read_texts(&["/a", "/d"], &[whole, begin, end, whole]);
        assert_eq!(by_template, 1, "{begin} {end}");
        assert!(outcomes[1].is_err() && outcomes[2].is_err() && outcomes[3].is_ok());
    }
}

#[test]
fn four_forms_are_known_at_a_time_and_a_fifth_takes_the_place_of_the_last() {
    let forms = ["a", "b", "c", "d", "e"].map(|name| format!(r#"{{"{name}":1}}"#));
    let forms = forms.each_ref().map(String::as_str);
    assert_eq!(read_texts(&["/a"], &[&forms[..4], &forms[..4]].concat()).1, 4);
    // The first three stay.
    assert_eq!(read_texts(&["/a"], &[&forms[..], &forms[..3]].concat()).1, 3);
    assert_eq!(read_texts(&["/a"], &[&forms[..], &forms[3..4]].concat()).1, 0);
}

#[test]
fn a_form_that_comes_after_many_others_is_learned_as_well() {
    let others: Vec<String> = (0..1_000).map(|other| format!(r#"{{"x{other}":1}}"#)).collect();
    let mut payloads: Vec<&str> = others.iter().map(String::as_str).collect();
    payloads.extend([r#"{"a":1}"#; 100]);
    let (_, by_template) = read_texts(&["/a"], &payloads);
    assert!((60..100).contains(&by_template), "{by_template}");
}

#[test]
fn broken_messages_do_not_displace_a_template() {
    let mut payloads = Vec::new();
    for _ in 0..50 {
        payloads.extend([r#"{"a":1,"d":2}"#, r#"{"a":1,"d":}"#, r#"{"x":1}"#, r#"{"a":1,"d":2}"#]);
    }
    let (outcomes, by_template) = read_texts(&["/a", "/d"], &payloads);
    // All but the first of either form.
    assert_eq!(by_template, 3 * 50 - 2);
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 50);
}

#[test]
fn a_long_message_is_read_by_serde_json() {
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(10_000));
    let (outcomes, by_template) = read_texts(&["/a"], &[r#"{"a":"x"}"#, &long, &long, r#"{"a":"y"}"#]);
    assert_eq!(by_template, 1);
    assert_eq!(outcomes[3], Ok(vec![Field::Text("y".to_owned())]));
}

#[test]
fn fields_that_a_message_does_not_have_are_missing_after_one_that_has_them() {
    let (outcomes, by_template) =
        read_texts(&["/a", "/b/c", "/b"], &[r#"{"a":1,"b":{"c":2}}"#, r#"{"a":1,"b":3}"#, r#"{"a":1,"b":"\t"}"#]);
    assert_eq!(by_template, 1);
    let plain = |text: &str| Field::Plain(text.to_owned());
    assert_eq!(outcomes[0], Ok(vec![Field::Integer(1), Field::Integer(2), plain("Object")]));
    assert_eq!(outcomes[1], Ok(vec![Field::Integer(1), plain("Missing"), Field::Integer(3)]));
    assert_eq!(outcomes[2], Ok(vec![Field::Integer(1), plain("Missing"), Field::Text("\t".to_owned())]));
}

#[test]
fn texts_of_every_length_end_where_they_end() {
    for length in 0..140 {
        let text = "x".repeat(length);
        let plain = format!(r#"{{"a":"{text}","d":1}}"#);
        for special in ["", "\\n", "\\\"", "\\\\", "é", "\u{7f}", "\t", "\"", "\\", "\u{1f}"] {
            for at in [0, length / 2, length.saturating_sub(1), length] {
                let message = format!(r#"{{"a":"{}{special}{}","d":1}}"#, &text[..at], &text[at..]);
                let (_, by_template) = read_texts(&["/a", "/d"], &[&plain, &message, &plain]);
                assert!((1..=2).contains(&by_template), "{message}");
            }
        }
    }
}
