//! Sample events are run before a rulebook is published, and refuse what does not give what they expect.

use std::path::Path;

use paceline_testbed::{plugins, require, rules};

use crate::support::{DedupMode, Workspace, fail, rulebook, succeed};

/// A workspace with a rulebook `flat.toml` of class 3 and its samples.
fn workspace(samples: &str) -> Workspace {
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.write("flat.toml", rulebook(3, 1, DedupMode::Ordinal));
    workspace.write("flat.samples.ndjson", samples);
    workspace
}

/// A line with an update of racer 1 in second 1.
fn sample(cadence: f64, resistance: f64, more: &str) -> String {
    let event = r#""event":"update","deviceTimestamp":1,"second":1,"raceId":131,"racerId":1,"classId":3"#;
    format!("{{\"event\":{{{event},\"cadence\":{cadence},\"resistance\":{resistance}}}{more}}}\n")
}

fn expecting(cadence: f64, resistance: f64, expected: &str) -> String {
    sample(cadence, resistance, &format!(",\"expect\":{expected}"))
}

fn publish(workspace: &Workspace, more: &[&str]) -> std::process::Command {
    let mut command = workspace.command(&["rules", "publish"]);
    command.arg(workspace.path("flat.toml")).arg("--plugins").arg(plugins::folder()).args(more);
    command
}

/// The objects of the registry: none before anything is published.
fn objects(workspace: &Workspace) -> usize {
    fn count(folder: &Path) -> usize {
        let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
        entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
    }
    count(&workspace.path("registry"))
}

#[test]
fn a_rulebook_whose_samples_pass_is_published() {
    require!(Plugins);
    let samples = [
        expecting(62.0, 68.6, r#"{"score":129.592}"#),
        expecting(83.0, 78.0, r#"{"score":168.7400000001,"within":1e-9}"#),
        expecting(95.0, 78.0, r#"{"rejected":"cadence is 95"}"#),
        expecting(80.0, 20.0, r#"{"rejected":true}"#),
        "{\"event\":{\"classId\":3},\"expect\":{\"rejected\":\"missing-field\"}}\n\n".to_owned(),
        expecting(80.0, 78.0, r#"{"rejected":false}"#),
        // Without an expectation a rejection is allowed, too.
        sample(30.0, 33.0, ""),
        sample(300.0, 33.0, ""),
    ];
    let workspace = workspace(&samples.concat());
    assert!(succeed(&mut publish(&workspace, &[])).starts_with("publish class-3@1 (sha256:"));
    assert_eq!(succeed(&mut publish(&workspace, &[])), "nothing to change (revision 1)\n");
}

#[test]
fn a_sample_that_fails_refuses_the_publication_with_its_line_and_changes_nothing() {
    require!(Plugins);
    let right = expecting(62.0, 68.6, r#"{"score":129.592}"#);
    for (wrong, message) in [
        (
            expecting(83.0, 78.0, r#"{"score":168.75}"#),
            "flat.samples.ndjson:2: expected the score 168.75, found the score 168.74",
        ),
        (
            expecting(95.0, 78.0, r#"{"score":1}"#),
            "expected the score 1, found a rejection, rejected: cadence is 95, not within 30 and 90",
        ),
        (expecting(83.0, 78.0, r#"{"rejected":true}"#), "expected a rejection, found the score 168.74"),
        (
            expecting(95.0, 78.0, r#"{"rejected":"resistance"}"#),
            "expected a rejection with `resistance`, found a rejection, rejected: cadence is 95",
        ),
        (
            expecting(83.0, 78.0, r#"{"score":168,"within":0.5}"#),
            "expected the score 168 within 0.5, found the score 168.74",
        ),
        (expecting(83.0, 78.0, r#"{"scor":168}"#), "flat.samples.ndjson:2: the line is not a sample: column"),
        ("{\"event\":{}\n".to_owned(), "flat.samples.ndjson:2: the line is not a sample: column"),
    ] {
        let workspace = workspace(&[&*right, &wrong].concat());
        let error = fail(&mut publish(&workspace, &[]));
        assert!(error.contains(message), "{message}: {error}");
        assert_eq!(objects(&workspace), 0, "{wrong}");
    }
}

#[test]
fn a_sample_that_is_of_no_race_refuses_the_publication() {
    require!(Plugins);
    let event = expecting(62.0, 68.6, r#"{"score":129.592}"#);
    let long = event.replace("\"raceId\":131", &format!("\"raceId\":\"{}\"", "x".repeat(257)));
    for (samples, pin, why) in [
        (&event, "/race", "missing-field: the field `/race` is missing"),
        (&event, "/resistance", "wrong-type: the field `/resistance` is a number with a fraction at byte"),
        (&long, "/raceId", "bad-pin: field `/raceId`, which identifies the race, has 257 bytes"),
    ] {
        let workspace = workspace(samples);
        let pinned = rulebook(3, 1, DedupMode::Ordinal).replace("pin = \"/raceId\"", &format!("pin = \"{pin}\""));
        workspace.write("flat.toml", pinned);
        let error = fail(&mut publish(&workspace, &[]));
        let message = format!("flat.samples.ndjson:1: expected the score 129.592, found a rejection, {why}");
        assert!(error.contains(&message), "{message}: {error}");
        assert_eq!(objects(&workspace), 0, "{pin}");
    }
}

#[test]
fn a_plugin_that_fails_on_a_sample_refuses_the_publication() {
    require!(Plugins);
    let samples = [sample(62.0, 68.6, ""), sample(66.0, 68.6, ""), sample(67.0, 68.6, "")];
    let workspace = workspace(&samples.concat());
    let trap = "plugin = \"evil-scorer\"\nsettings = { deed = \"trap-on-row\", victim = 66 }";
    workspace.write("flat.toml", rulebook(3, 1, DedupMode::Ordinal).replace("plugin = \"output\"", trap));
    let error = fail(&mut publish(&workspace, &[]));
    let message = "flat.samples.ndjson:2: expected no fault of a plugin, found a rejection, plugin-failed: ";
    assert!(error.contains(message) && !error.contains("differ, too"), "{error}");
    assert_eq!(objects(&workspace), 0);
}

#[test]
fn a_file_of_samples_can_be_named() {
    require!(Plugins);
    let workspace = workspace(&expecting(62.0, 68.6, r#"{"score":129.592}"#));
    workspace.write("more.ndjson", expecting(62.0, 68.6, r#"{"score":1}"#).repeat(3));
    let more = workspace.path("more.ndjson");
    let error = fail(&mut publish(&workspace, &["--samples", more.to_str().unwrap()]));
    let message = "more.ndjson:1: expected the score 1, found the score 129.592; 2 other samples differ, too";
    assert!(error.contains(message), "{error}");
    let nowhere = workspace.path("nowhere.ndjson");
    let error = fail(&mut publish(&workspace, &["--samples", nowhere.to_str().unwrap(), "--dry-run"]));
    assert!(error.contains("nowhere.ndjson"), "{error}");
    assert_eq!(objects(&workspace), 0);
}

#[test]
fn apply_and_bundle_run_the_samples_of_each_rulebook() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let folder = workspace.path("rulebooks");
    workspace.write("rulebooks/class-3.samples.ndjson", expecting(62.0, 68.6, r#"{"score":129.5}"#));
    rules::map(&folder);
    let out = workspace.path("bundle");
    let folder = folder.to_str().unwrap();
    for arguments in [&["rules", "apply", folder][..], &["rules", "bundle", folder, "--out", out.to_str().unwrap()]] {
        let error = fail(&mut workspace.command(arguments));
        let message = "class-3.samples.ndjson:1: expected the score 129.5, found the score 129.592";
        assert!(error.contains("the rulebook of race type 3") && error.contains(message), "{error}");
    }
    assert_eq!(objects(&workspace), 0);
    workspace.write("rulebooks/class-3.samples.ndjson", expecting(62.0, 68.6, r#"{"score":129.592}"#));
    assert!(workspace.ok(&["rules", "apply", folder]).ends_with("revision 1\n"));
}
