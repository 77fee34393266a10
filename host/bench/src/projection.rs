//! JSON payloads to their declared fields: by templates learned from the messages before, against serde_json for each
//! message. Both give the same values.

use std::hint::black_box;

use paceline_json::{FieldValue, PayloadReader, Pointer, Projection, Row, Span};

use crate::timing::in_turns;
use crate::{Results, print_line, simulated};

/// The fields that the plugins and the rulebook of the races read.
pub(crate) const POINTERS: [&str; 8] =
    ["/event", "/deviceTimestamp", "/second", "/raceId", "/racerId", "/classId", "/cadence", "/resistance"];

/// Messages of which one is broken: 3 %.
const ONE_BROKEN_OF: usize = 33;

/// Payloads behind each other.
#[derive(Default)]
pub(crate) struct Payloads {
    pub(crate) bytes: Vec<u8>,
    pub(crate) spans: Vec<Span>,
}

impl Payloads {
    pub(crate) fn push(&mut self, payload: &[u8]) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(payload);
        self.spans.push(Span { start, end: self.bytes.len() as u32 });
    }
}

/// Numbers that look like random ones and are the same in every run: Weyl's sequence, by its upper bits.
fn scattered(at: usize, below: usize) -> usize {
    ((at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % below
}

/// A message of Alleycat's bikes, with 150 to 160 bytes.
pub(crate) fn message(at: usize) -> String {
    let names = ["Ada", "Bela", "Chidi", "Farah", "Hubert", "Zoë"];
    let event = if scattered(at, 300) == 0 { "final" } else { "update" };
    let tenths =
        |salt: usize, from: usize, to: usize| (from * 10 + scattered(at + salt, (to - from) * 10)) as f64 / 10.0;
    format!(
        r#"{{"event":"{event}","deviceTimestamp":{},"second":{},"raceId":1619185620265,"name":"{}","racerId":{},"classId":3,"cadence":{},"resistance":{}}}"#,
        1_619_185_620_265 + at,
        1 + at / 100,
        names[scattered(at, names.len())],
        100 + at % 1_000,
        tenths(1_000, 30, 90).round(),
        tenths(2_000, 33, 86),
    )
}

/// A message that is cut, has a byte too few, a wrong one, or lacks a member.
fn broken(at: usize) -> Vec<u8> {
    let mut message = message(at).into_bytes();
    let place = scattered(at, message.len());
    match at % 4 {
        0 => message.truncate(place),
        1 => drop(message.remove(place)),
        2 => message[place] = b'x',
        _ => return String::from_utf8_lossy(&message).replace(r#","classId":3"#, "").into_bytes(),
    }
    message
}

/// The values of all fields, and the numbers of messages that are not readable and that templates read.
pub(crate) fn read(
    mut reader: PayloadReader<'_>,
    width: usize,
    payloads: &Payloads,
) -> (Vec<FieldValue>, usize, usize) {
    let mut values = vec![FieldValue::Missing; width * payloads.spans.len()];
    let mut unescaped = Vec::new();
    let mut unreadable = 0;
    for (row, span) in values.chunks_exact_mut(width).zip(&payloads.spans) {
        let row = Row { values: row, unescaped: &mut unescaped };
        unreadable += usize::from(black_box(reader.read(*span, row)).is_err());
    }
    (values, unreadable, reader.by_template())
}

/// One of 33 messages is broken.
pub(crate) fn sometimes_broken(at: usize) -> Vec<u8> {
    if at % ONE_BROKEN_OF == ONE_BROKEN_OF - 1 { broken(at) } else { message(at).into_bytes() }
}

/// A message with a name that no other one has, at its end.
pub(crate) fn of_other_form(at: usize) -> Vec<u8> {
    message(at).replace("resistance", &format!("r{at}")).into_bytes()
}

/// Payloads, and what is expected of them.
struct Case<'p> {
    name: &'p str,
    payloads: &'p Payloads,
    /// Whether templates read nearly all of them, or none.
    by_template: bool,
    /// Of the time and of the ratio.
    targets: (&'p str, &'p str),
}

fn compare(results: &mut Results, case: Case<'_>) {
    let Case { name, payloads, by_template: expected_by_template, targets } = case;

    let pointers = POINTERS.map(|pointer| Pointer::parse(pointer).expect("it is a pointer"));
    let projection = Projection::new(&pointers);
    let width = projection.width();
    let by_serde_json =
        || read(PayloadReader::without_templates(&projection, black_box(&payloads.bytes)), width, payloads);
    let by_template = || read(PayloadReader::new(&projection, black_box(&payloads.bytes)), width, payloads);
    let (expected, found) = (by_serde_json(), by_template());
    assert_eq!((&expected.0, expected.1), (&found.0, found.1), "both read the same");
    let (messages, found) = (payloads.spans.len(), found.2);
    let is_expected = if expected_by_template { found * 10 > messages * 9 } else { found == 0 };
    assert!(is_expected, "templates read {found} of {messages} of `{name}`");
    let [serde_json, control, template] =
        in_turns([&mut || drop(black_box(by_serde_json())), &mut || drop(black_box(by_serde_json())), &mut || {
            drop(black_box(by_template()))
        }]);
    let messages = messages as f64;
    results.add(&format!("projection_serde_json_ns_{name}"), serde_json / messages, "ns/message", "");
    results.add(&format!("projection_control_{name}"), control / serde_json, "A/A", "");
    results.add(&format!("projection_ns_{name}"), template / messages, "ns/message", targets.0);
    results.add(&format!("projection_over_serde_json_{name}"), template / serde_json, "paceline/serde", targets.1);
}

pub(crate) fn run(results: &mut Results) {
    print_line("\nJSON payloads to eight fields, by templates and by serde_json");
    for (rows, name) in [(100, "100"), (1_000, "1k"), (10_000, "10k")] {
        let mut clean = Payloads::default();
        let mut with_broken = Payloads::default();
        for at in 0..rows {
            clean.push(message(at).as_bytes());
            with_broken.push(&sometimes_broken(at));
        }
        let targets = if rows == 1_000 { ("at most 80", "") } else { ("", "") };
        compare(results, Case { name, payloads: &clean, by_template: true, targets });
        let (name, targets) = (&format!("broken_{name}"), ("", "at most 0.5"));
        compare(results, Case { name, payloads: &with_broken, by_template: true, targets });
    }
    // Their numbers have up to 17 digits.
    let mut long = Payloads::default();
    simulated(1_000, 10).iter().take(1_000).for_each(|message| long.push(message));
    compare(results, Case { name: "simulated_1k", payloads: &long, by_template: true, targets: ("", "") });
    // Templates are tried and learned in vain.
    let mut other_forms = Payloads::default();
    (0..1_000).for_each(|at| other_forms.push(&of_other_form(at)));
    compare(results, Case { name: "other_forms_1k", payloads: &other_forms, by_template: false, targets: ("", "") });
}
