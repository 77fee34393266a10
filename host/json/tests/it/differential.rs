//! Batches of made-up messages: clean ones of several forms, and such that differ from them in a few bytes.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::support::{projection, read_both_ways};

const POINTERS: [&str; 9] = ["/a", "/b", "/b/c", "/b/d/e", "/d", "/é", "/a longer name than others", "/", "/f/g"];
const NAMES: [&str; 12] =
    ["a", "b", "c", "d", "e", "é", "f", "g", "", "a longer name than others", "unknown", "not projected at all"];

/// The form of messages: names, and what is around them. A form without values is a tree whose leaves they fill.
#[derive(Clone, Debug)]
struct Form {
    members: Vec<(String, Node)>,
    style: Style,
}

#[derive(Clone, Debug)]
enum Node {
    /// A value of the message.
    Value,
    /// A part of the form itself.
    Fixed(&'static str),
    Object(Vec<(String, Node)>),
}

/// White space of a form.
#[derive(Clone, Copy, Debug)]
struct Style {
    before: &'static str,
    after_brace: &'static str,
    before_colon: &'static str,
    after_colon: &'static str,
    after_comma: &'static str,
    after: &'static str,
}

const STYLES: [Style; 4] = [
    Style { before: "", after_brace: "", before_colon: "", after_colon: "", after_comma: "", after: "" },
    Style { before: "", after_brace: "", before_colon: "", after_colon: " ", after_comma: " ", after: "\n" },
    Style {
        before: " ",
        after_brace: "\n  ",
        before_colon: "\t",
        after_colon: "\r\n",
        after_comma: "\n\t",
        after: " \n ",
    },
    Style { before: "\u{feff}", after_brace: "", before_colon: " ", after_colon: "", after_comma: "", after: "" },
];

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        20 => select(&NAMES[..]).prop_map(str::to_owned),
        // The same name as `a`, and others with escapes.
        1 => select(&["\\u0061", "a\\n", "\\\"", "\\u00e9"][..]).prop_map(str::to_owned),
    ]
}

fn members() -> impl Strategy<Value = Vec<(String, Node)>> {
    let leaf = prop_oneof![
        12 => Just(Node::Value),
        1 => select(&["[]", "[1,[2],{\"a\":3}]", "{}", "[\"]\"]"][..]).prop_map(Node::Fixed),
    ];
    let node =
        leaf.prop_recursive(3, 12, 4, |inner| prop::collection::vec((name(), inner), 0..4).prop_map(Node::Object));
    // In most objects a name comes once.
    prop::collection::vec((name(), node), 0..9).prop_map(|mut members| {
        if members.len() < 8 {
            let names: Vec<String> = members.iter().map(|(name, _)| name.clone()).collect();
            let mut at = 0..;
            members.retain(|(name, _)| !names[..at.next().expect("it has no end")].contains(name));
        }
        members
    })
}

fn form() -> impl Strategy<Value = Form> {
    (members(), select(&STYLES[..])).prop_map(|(members, style)| Form { members, style })
}

/// A value as text, nearly always one that JSON allows.
fn valid_value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        (-1_000_i32..1_000).prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("JSON has no others", |number| number.is_finite())
            .prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("JSON has no others", |number| number.is_finite())
            .prop_map(|number| format!("{number:e}")),
        (0.0..200.0_f64).prop_map(|number| number.to_string()),
        "-?(0|[1-9][0-9]{0,21})(\\.[0-9]{1,22})?([eE][+-]?[0-9]{1,3})?",
        "\"[a-z0-9 ]{0,30}\"",
        "\"[ -!#-\\[\\]-~é€]{20,120}(\\\\n|\\\\\"|\t)?[a-z]{0,70}\"",
        "\"([ -!#-\\[\\]-~é€😀\u{7f}]|\\\\[\"\\\\/bfnrt]|\\\\u00[0-9a-fA-F]{2}|\\\\ud83d\\\\ude00){0,12}\"",
        select(&["true", "false", "null"][..]).prop_map(str::to_owned),
    ]
}

/// What is nearly JSON, and what is JSON but odd.
#[rustfmt::skip]
const ODD: [&str; 24] = [
    "t", "truex", "nul", "NaN", "Infinity", "-", "+1", "01", "-01", "1e400", "-1e999", "1e-400", "-0", "-0.0", "0.0",
    "\"\\ud800\"", "\"\\ude00\\ud83d\"", "'x'", "", "[", "{", "[1]", "{\"a\":1}", "\u{feff}1",
];

/// A text that may be a value.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => valid_value(),
        1 => "-?[0-9]{0,3}[.]?[0-9]{0,3}([eE][+-]?[0-9]{0,3})?",
        1 => "\"([a-z]|\\\\[ux0-9a-z\"]|[\u{0}-\u{1f}]){0,6}\"?",
        1 => select(&ODD[..]).prop_map(str::to_owned),
    ]
}

fn write(form: &Form, values: &[String]) -> String {
    let mut values = values.iter().cycle();
    let mut text = form.style.before.to_owned();
    write_members(&form.members, form.style, &mut values, &mut text);
    text + form.style.after
}

fn write_members<'v>(
    members: &[(String, Node)],
    style: Style,
    values: &mut impl Iterator<Item = &'v String>,
    text: &mut String,
) {
    text.push('{');
    text.push_str(style.after_brace);
    for (at, (name, node)) in members.iter().enumerate() {
        if at > 0 {
            text.push(',');
            text.push_str(style.after_comma);
        }
        text.push_str(&format!("\"{name}\"{}:{}", style.before_colon, style.after_colon));
        match node {
            Node::Value => text.push_str(values.next().expect("they cycle")),
            Node::Fixed(fixed) => text.push_str(fixed),
            Node::Object(members) => write_members(members, style, values, text),
        }
    }
    text.push('}');
}

/// A change of a message's bytes.
#[derive(Clone, Debug)]
enum Mutation {
    Replace(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Truncate(Index),
    /// Repeats a stretch of bytes.
    Repeat(Index, Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let byte = || prop_oneof![select(&b"{}[]:,\"\\ \n\t0123456789.-+eEtfnu/"[..]), any::<u8>()];
    prop_oneof![
        (any::<Index>(), byte()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        (any::<Index>(), byte()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        any::<Index>().prop_map(Mutation::Remove),
        any::<Index>().prop_map(Mutation::Truncate),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Mutation::Repeat(from, to)),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    if bytes.is_empty() {
        return;
    }
    match mutation {
        Mutation::Replace(at, byte) => {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        Mutation::Insert(at, byte) => bytes.insert(at.index(bytes.len()), *byte),
        Mutation::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
        Mutation::Truncate(at) => bytes.truncate(at.index(bytes.len())),
        Mutation::Repeat(from, to) => {
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            let stretch = bytes[from.min(to)..from.max(to)].to_vec();
            bytes.splice(to..to, stretch);
        }
    }
}

/// A message: its form, its values, and how it is changed.
type Message = (Index, Vec<String>, Vec<Mutation>);

fn message() -> impl Strategy<Value = Message> {
    let mutations =
        prop_oneof![3 => prop::collection::vec(mutation(), 0..1), 2 => prop::collection::vec(mutation(), 1..4)];
    let values = prop_oneof![
        4 => prop::collection::vec(valid_value(), 1..10),
        1 => prop::collection::vec(value(), 1..10),
    ];
    (any::<Index>(), values, mutations)
}

fn payloads(forms: &[Form], messages: &[Message]) -> Vec<Vec<u8>> {
    let payload = |(form, values, mutations): &Message| {
        let mut bytes = write(form.get(forms), values).into_bytes();
        mutations.iter().for_each(|mutation| mutate(&mut bytes, mutation));
        bytes
    };
    messages.iter().map(payload).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn messages_are_read_as_without_templates(
        forms in prop::collection::vec(form(), 1..4),
        messages in prop::collection::vec(message(), 1..16),
    ) {
        read_both_ways(&projection(&POINTERS), &payloads(&forms, &messages));
    }

    /// A message is tried by the template of the one that it was made from, whatever came before.
    #[test]
    fn a_changed_message_is_read_as_without_templates(
        form in form(),
        values in prop::collection::vec("-?[1-9][0-9]{0,3}|\"[a-z]{0,9}\"|[1-9]\\.[0-9]{1,17}", 1..10),
        changes in prop::collection::vec(prop::collection::vec(mutation(), 1..3), 1..10),
    ) {
        let clean = write(&form, &values).into_bytes();
        // Few enough that templates never rest.
        let mut payloads = vec![clean.clone(), clean.clone()];
        for mutations in &changes {
            let mut changed = clean.clone();
            mutations.iter().for_each(|mutation| mutate(&mut changed, mutation));
            payloads.extend([changed, clean.clone(), clean.clone()]);
        }
        read_both_ways(&projection(&POINTERS), &payloads);
    }
}

/// The messages above are worth their time: a good part of them is read by templates.
#[test]
fn templates_read_many_of_the_made_up_messages() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let batches = (prop::collection::vec(form(), 1..4), prop::collection::vec(message(), 1..16));
    let (mut read, mut by_template) = (0, 0);
    for _ in 0..200 {
        let (forms, messages) = batches.new_tree(&mut runner).unwrap().current();
        let payloads = payloads(&forms, &messages);
        let (outcomes, found) = read_both_ways(&projection(&POINTERS), &payloads);
        read += outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        by_template += found;
    }
    assert!(by_template * 4 > read, "{by_template} of {read}");
}
