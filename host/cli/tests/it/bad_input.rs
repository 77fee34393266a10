//! Invalid messages: each becomes a dead letter with a reason that names field and position. The messages around it are
//! processed.

use crate::support::{DedupMode, Workspace, joined, oracle, paceline, simulate};
use paceline_testbed::require;

/// A valid message with some texts replaced.
fn message(changes: &[(&str, &str)]) -> Vec<u8> {
    let mut text = r#"{"event":"update","deviceTimestamp":1620566842971,"second":1,"raceId":131,"name":"Hubert","racerId":1,"classId":3,"cadence":62,"resistance":68.6}"#.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    text.into_bytes()
}

#[test]
fn each_invalid_message_becomes_a_dead_letter_and_the_others_are_processed() {
    require!(Plugins);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let mebibyte = "x".repeat((1 << 20) - message(&[("Hubert", "")]).len());
    let mut invalid = message(&[]);
    let name = invalid.windows(6).position(|window| window == b"Hubert").unwrap();
    invalid[name] = 0xff;
    let cases: Vec<(Vec<u8>, &str, Option<&str>, &str)> = vec![
        (b"hello, world".to_vec(), "not-json", None, "not JSON: expected value at line 1 column 1"),
        (message(&[])[..50].to_vec(), "not-json", None, "not JSON: EOF while parsing a value at line 1 column 50"),
        (invalid, "not-utf8", None, "the payload is not UTF-8 from byte 82 on"),
        (b"[1,2]".to_vec(), "not-json", None, "a JSON object is wanted, not an array"),
        (b"42".to_vec(), "not-json", None, "a JSON object is wanted, not a number"),
        (message(&[("\"cadence\":62,", "")]), "missing-field", Some("/cadence"), "the field `/cadence` is missing"),
        (message(&[("\"second\":1,", "")]), "missing-field", Some("/second"), "the field `/second` is missing"),
        (message(&[("\"classId\":3,", "")]), "missing-field", Some("/classId"), "the field `/classId` is missing"),
        (message(&[("\"raceId\":131,", "")]), "missing-field", Some("/raceId"), "the field `/raceId` is missing"),
        (
            message(&[(":62", ":null")]),
            "missing-field",
            Some("/cadence"),
            "the field `/cadence` is null at byte 124, not a number",
        ),
        (
            message(&[(":62", ":\"62\"")]),
            "wrong-type",
            Some("/cadence"),
            "the field `/cadence` is a text at byte 124, not a number",
        ),
        (
            message(&[("\"racerId\":1", "\"racerId\":[1]")]),
            "wrong-type",
            Some("/racerId"),
            "the field `/racerId` is an array at byte 100, not a text or an integer",
        ),
        (
            message(&[("\"racerId\":1", "\"racerId\":1.5")]),
            "wrong-type",
            Some("/racerId"),
            "the field `/racerId` is a number with a fraction at byte 100, not a text or an integer",
        ),
        (
            message(&[("68.6", "1e400")]),
            "not-json",
            Some("/resistance"),
            "not JSON, in the field `/resistance`: number out of range at line 1 column 145",
        ),
        (
            message(&[("68.6", "NaN")]),
            "not-json",
            Some("/resistance"),
            "not JSON, in the field `/resistance`: expected value at line 1 column 141",
        ),
        (
            message(&[("\"second\":1", "\"second\":99999999999999999999")]),
            "wrong-type",
            Some("/second"),
            "the field `/second` is a number beyond 64 bits at byte 59, not an integer",
        ),
        (
            message(&[("\"cadence\":62", "\"cadence\":62,\"cadence\":\"x\"")]),
            "wrong-type",
            Some("/cadence"),
            "the field `/cadence` is a text at byte 137, not a number",
        ),
        (
            message(&[("\"classId\":3", "\"classId\":7")]),
            "no-rulebook",
            Some("/classId"),
            "there is no rulebook for race type `7` (field `/classId`)",
        ),
        (
            message(&[("Hubert", &mebibyte)]),
            "too-large",
            None,
            "the payload has 1048576 bytes, 262144 are allowed (`max-payload-bytes`)",
        ),
        (
            message(&[("\"Hubert\"", &deep)]),
            "not-json",
            Some("/name"),
            "not JSON, in the field `/name`: recursion limit exceeded at line 1 column 208",
        ),
        (
            message(&[("Hubert", "\\ud800")]),
            "not-json",
            Some("/name"),
            "not JSON, in the field `/name`: unexpected end of hex escape at line 1 column 89",
        ),
        (message(&[(":62", ":200")]), "rejected", None, "cadence is 200, not within 30 and 90"),
        (message(&[("update", "start")]), "rejected", None, "event is `start`, not one of: update,final"),
    ];
    let valid = simulate("--racers 5 --seconds 10 --class 3 --race 131 --seed 1");
    // Each invalid message has a valid one before and after it.
    let mut lines = Vec::new();
    let mut broken = cases.iter().map(|(payload, ..)| payload.clone());
    for line in &valid {
        lines.push(line.clone());
        lines.extend(broken.next());
    }
    assert!(broken.next().is_none());
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.write("messages.ndjson", joined(&lines));
    workspace.run();

    let letters = workspace.dead_letters();
    assert_eq!(letters.len(), cases.len());
    let reasons: Vec<_> = letters
        .iter()
        .map(|letter| (letter.reason.cause.as_str(), letter.reason.field.as_deref(), letter.reason.text.as_str()))
        .collect();
    let expected: Vec<_> = cases.iter().map(|(_, cause, field, text)| (*cause, *field, *text)).collect();
    assert_eq!(reasons, expected);
    for (letter, (payload, ..)) in letters.iter().zip(&cases) {
        assert_eq!(letter.payload, *payload);
        let at = letter.position.sequence.to_u64().unwrap() as usize;
        assert_eq!(joined(&lines)[at..][..payload.len()], **payload, "the payload is not at its position");
    }
    assert_eq!(workspace.json(&["leaderboard", "--class", "3", "--race", "131"]), oracle::race(&valid, 131));
    let mut of_no_race = paceline(&["leaderboard", "--class", "3", "--race", "999", "--config"]);
    let output = of_no_race.arg(workspace.path("paceline.toml")).output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && log.contains("there are no results of class 3, race 999"), "{log}");
}

#[test]
fn the_last_of_duplicate_json_keys_wins() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.write("messages.ndjson", message(&[("\"cadence\":62", "\"cadence\":\"x\",\"cadence\":62")]));
    assert_eq!(workspace.run()["deadLetters"], 0);
    assert_eq!(workspace.json(&["leaderboard", "--class", "3", "--race", "131"])[0]["output"], 129.592);
}

#[test]
fn an_oversized_line_is_truncated_in_its_dead_letter() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let valid = simulate("--racers 2 --seconds 2 --class 3 --race 131 --seed 1");
    let long = vec![b'x'; 30 << 20];
    workspace.write("messages.ndjson", joined(&[valid[0].clone(), long, valid[1].clone(), valid[2].clone()]));
    workspace.run();
    let [letter] = &workspace.dead_letters()[..] else { panic!("there is not exactly one dead letter") };
    assert_eq!(letter.reason.cause.as_str(), "too-large");
    assert_eq!((letter.payload.len(), letter.cut_from), (10 << 20, Some(30 << 20)));
    // The messages after it are read from the correct position, in this run and in the next one.
    workspace.write(
        "messages.ndjson",
        joined(&[valid[0].clone(), vec![b'x'; 30 << 20], valid[1].clone(), valid[2].clone(), valid[3].clone()]),
    );
    assert_eq!(workspace.run()["records"], 1);
    assert_eq!(workspace.json(&["leaderboard", "--class", "3", "--race", "131"]), oracle::race(&valid, 131));
}

#[test]
fn a_trap_on_one_row_rejects_only_that_row() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Sequence);
    let trap = r#"plugin = "evil-scorer"
settings = { deed = "trap-on-row", victim = 66 }"#;
    workspace.write(
        "rulebooks/class-3.toml",
        crate::support::rulebook(3, 1, DedupMode::Sequence).replace("plugin = \"output\"", trap),
    );
    let lines: Vec<_> = (1..=600)
        .map(|second: u32| {
            let cadence = if second == 321 { ":66" } else { ":62" };
            message(&[("\"second\":1", &format!("\"second\":{second}")), (":62", cadence)])
        })
        .collect();
    workspace.write("messages.ndjson", joined(&lines));
    workspace.run();
    let [letter] = &workspace.dead_letters()[..] else { panic!("there is not exactly one dead letter") };
    assert_eq!(letter.reason.cause.as_str(), "plugin-failed");
    assert_eq!(letter.payload, lines[320]);
    let evil = paceline_testbed::plugins::bytes("evil-scorer");
    assert_eq!(letter.reason.plugin, Some(*paceline_engine::Digest::of(&evil).as_bytes()));
    assert_eq!(letter.reason.rulebook, Some(("class-3".to_owned(), 1)));
    let text = &letter.reason.text;
    assert!(text.starts_with("the plugin trapped: wasm trap: wasm `unreachable` instruction executed"), "{text}");
    // What it said, with file and line.
    assert!(text.contains("; it logged: panicked at plugins/evil/scorer/src/lib.rs:"), "{text}");
    let items = workspace.items();
    let racer = items.values().next().unwrap();
    let integer = paceline_pipeline::model::Attribute::Integer;
    assert_eq!(racer.attribute("seconds"), Some(&integer(599)));
}
