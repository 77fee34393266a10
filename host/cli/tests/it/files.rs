//! Files of messages as they come: cut in the middle of a line, compressed, with a byte order mark, with blank lines, and
//! with numbers written in other ways.

use paceline_testbed::assertions::assert_contains;
use paceline_testbed::require;

use crate::support::{DedupMode, Process, Workspace, fail, joined, oracle, paceline};

/// A message of racer 1 in race 131.
fn message(second: &str) -> String {
    format!(
        "{{\"event\":\"update\",\"deviceTimestamp\":1620566842000,\"second\":{second},\"raceId\":131,\"name\":\"Ada\",\
         \"racerId\":1,\"classId\":3,\"cadence\":62,\"resistance\":68.6}}"
    )
}

/// The standings of race 131.
fn standings(workspace: &Workspace) -> serde_json::Value {
    workspace.json(&["leaderboard", "--class", "3", "--race", "131"])
}

fn expected(lines: &[String]) -> serde_json::Value {
    oracle::race(&lines.iter().map(|line| line.clone().into_bytes()).collect::<Vec<_>>(), 131)
}

#[test]
fn a_last_line_that_is_being_written_is_left_for_the_next_run() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let (first, second) = (message("1"), message("2"));
    for cut in [1, 60, second.len() - 1] {
        workspace.write("messages.ndjson", format!("{first}\n{}", &second[..cut]));
        let warning = workspace.run_with_stderr();
        assert_contains(
            &warning,
            &[&format!("the last line of messages.ndjson, {cut} bytes from byte {} on", first.len() + 1)],
        );
        assert_eq!(
            (workspace.dead_letters().len(), standings(&workspace)),
            (0, expected(std::slice::from_ref(&first))),
            "{cut}"
        );
    }
    // Whole, it needs no newline. The newline that comes later is no record.
    workspace.write("messages.ndjson", format!("{first}\n{second}"));
    assert_eq!(workspace.run()["records"], 1);
    workspace.write("messages.ndjson", format!("{first}\n{second}\n"));
    assert_eq!(workspace.run()["records"], 0);
    assert_eq!((workspace.dead_letters().len(), standings(&workspace)), (0, expected(&[first, second])));
}

#[test]
fn a_last_line_of_standard_input_has_ended_for_good() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.apply();
    let mut run = Process::start(workspace.command(&["run", "--input", "-"]));
    run.write_stdin(format!("{}\n{}", message("1"), &message("2")[..60]).as_bytes());
    run.finish();
    let [letter] = &workspace.dead_letters()[..] else { panic!("there is not exactly one dead letter") };
    assert_eq!(letter.payload, &message("2").as_bytes()[..60]);
}

#[test]
fn a_byte_order_mark_and_blank_lines_cost_no_record() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let (first, second) = (message("1"), message("2"));
    workspace.write("messages.ndjson", format!("\u{feff}{first}\r\n\n \t\r\n{second}\n\n"));
    let summary = workspace.run();
    assert_eq!((&summary["records"], &summary["deadLetters"]), (&2.into(), &0.into()));
    assert_eq!(standings(&workspace), expected(&[first, second]));
    assert_eq!(workspace.run()["records"], 0);
}

/// Two members of gzip with two messages each, the last one without a newline.
const COMPRESSED: [&str; 2] = [
    "H4sIAAAAAAAC/7WOMQ7CMAxFd47hOapCUqKqG2N3LmA5f4hEQtWELhV3x1VOwMD2vv1k/4OwozSa6b1GbiBDEXsSPFJGbZxXmq/B2VsI0+ittYYq5FWijg1tLFhO9BoKZ+ide2Tqm23pljy51pO9MkcUUS84lVCT/uh5GsLncvy7jvupzhfHSCCnHgEAAA==",
    "H4sIAAAAAAAC/7WOMQ7DIBRD9x7DM6qApChi69i9F/gCD0iFRoFmiXr3kuYEHbo9y/b/3sCVpcHjNUdphELkmgLvKbM2yTO8cVZfnJvGUWutUBmeJcJbhUUCbx3NYBSKZPY71yg4nOVrKYSH1Lrz0FkiS+g5t9dZU/9x6Ons3qft33PsL3M+vqw3Yx0BAAA=",
];

#[test]
fn a_compressed_file_is_read_and_resumed() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let member = |number: usize| paceline_aws::base64::decode(COMPRESSED[number].as_bytes()).unwrap();
    workspace.configure("[source]\nfile = \"messages.ndjson.gz\"\n", "");
    workspace.write("messages.ndjson.gz", member(0));
    assert_eq!(workspace.run()["records"], 2);
    // More is appended.
    workspace.write("messages.ndjson.gz", [member(0), member(1)].concat());
    assert_eq!(workspace.run()["records"], 2);
    assert_eq!(workspace.dead_letters().len(), 0);
    let whole: Vec<String> = ["1", "2"]
        .into_iter()
        .flat_map(|second| {
            let sent = format!("162056684{}000", 2 + second.parse::<u32>().unwrap());
            let of_first = message(second).replace("1620566842000", &sent);
            [of_first.clone(), of_first.replace("\"racerId\":1", "\"racerId\":2")]
        })
        .collect();
    assert_eq!(standings(&workspace), expected(&whole));

    // On standard input, too. What is cut is an error, and what was whole is stored.
    let piped = Workspace::new(DedupMode::Ordinal);
    piped.apply();
    let mut run = Process::start(piped.command(&["run", "--input", "-"]));
    run.write_stdin(&[member(0), member(1)].concat());
    run.finish();
    assert_eq!(standings(&piped), expected(&whole));
    let cut = Workspace::new(DedupMode::Ordinal);
    cut.write("messages.ndjson", [member(0), member(1)[..20].to_vec()].concat());
    assert_contains(&cut.fails(&["run"]), &["messages.ndjson"]);
    assert_eq!(standings(&cut), expected(&whole[..2]));
}

#[test]
fn a_file_in_another_format_is_refused_with_its_name() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.apply();
    for (bytes, what) in [
        (&b"\x78\x9c\xab\x56\x4a\x54\xb2\x32\xac\x05\x00\x08\x7c\x02\x1f"[..], "it is compressed with zlib"),
        (b"\x28\xb5\x2f\xfd\x04", "it is compressed with Zstandard"),
        (b"\xff\xfe{\x00", "it is text in UTF-16"),
    ] {
        workspace.write("other", bytes);
        let path = workspace.path("other");
        let error = fail(paceline(&["run", "--config"]).arg(workspace.path("paceline.toml")).arg("--input").arg(path));
        assert_contains(&error, &["other", what, "newline-delimited JSON is wanted"]);
    }
}

#[test]
fn a_number_without_a_fraction_is_an_integer_in_fields_keys_and_ordinals() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let other = message("2.0").replace("131", "1.31e2").replace("\"racerId\":1", "\"racerId\":1.0");
    let repeated = message("20e-1").replace("62,", "90,");
    let minus_zero = message("-0");
    let beyond = message("9007199254740993.0");
    let lines = [message("1"), other, repeated, minus_zero, beyond].map(String::into_bytes);
    workspace.write("messages.ndjson", joined(&lines));
    let summary = workspace.run();
    assert_eq!(summary["duplicates"], 1, "2.0 and 20e-1 are the same second: {summary}");
    assert_eq!(standings(&workspace), expected(&[message("1"), message("2")]));
    let letters = workspace.dead_letters();
    let reasons: Vec<_> = letters.iter().map(|letter| (letter.reason.cause.as_str(), &*letter.reason.text)).collect();
    let [(cause, text), beyond] = reasons[..] else { panic!("{reasons:?}") };
    assert_eq!(cause, "rejected", "{text}");
    assert_contains(&text, &["second is 0"]);
    let why =
        "the field `/second` is a number beyond 53 bits with a fraction or an exponent at byte 59, not an integer";
    assert_eq!(beyond, ("wrong-type", why));
}
