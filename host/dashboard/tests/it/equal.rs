//! What is seen on the page equals what `/status.json` holds, figure by figure.

use std::collections::BTreeMap;

use paceline_dashboard::Status;
use serde_json::Value;

use crate::browser::{Browser, Look, Page, require_chromium};
use crate::client::get;
use crate::deployment::{healthy, many, trouble};
use crate::figures::shows;
use crate::served::Served;

#[test]
fn what_is_seen_of_a_healthy_race_equals_the_status() {
    require_chromium!();
    seen_equals_status(healthy(), true);
}

#[test]
fn what_is_seen_of_trouble_equals_the_status() {
    require_chromium!();
    seen_equals_status(trouble(), true);
}

#[test]
fn what_is_seen_of_200_shards_equals_the_status() {
    require_chromium!();
    seen_equals_status(many(200), true);
}

#[test]
fn what_is_seen_without_javascript_equals_the_status() {
    require_chromium!();
    seen_equals_status(trouble(), false);
}

fn seen_equals_status(status: Status, javascript: bool) {
    let served = Served::new(status);
    let status: Value = serde_json::from_str(&get(served.address, "/status.json").body).unwrap();
    let mut browser = Browser::start();
    let mut page = browser.open(&served.url("/"), Look { javascript, ..Look::default() });
    if javascript {
        // Not only what was loaded, but also what came by an update.
        page.until("document.getElementById('live').textContent === 'live'");
        page.updates(2);
    }
    verdict(&mut page, &status["verdict"]);
    shards(&mut page, &status["stream"]);
    glance(&mut page, &status);
    charts(&mut page, &status["history"]);
    dead_letters(&mut page, &status["dead-letters"]);
    rules(&mut page, &status["rules"]);
    leaderboard(&mut page, &status["leaderboard"]);
    let seen = page.evaluate("document.querySelector('#as-of time').dateTime");
    assert_eq!(seen, status["time"]);
    page.close();
}

/// The texts of the elements that a selector finds.
fn texts(page: &mut Page<'_>, selector: &str) -> Vec<String> {
    let found = format!("[...document.querySelectorAll({selector:?})].map((it) => it.innerText.trim())");
    serde_json::from_value(page.evaluate(&found)).unwrap()
}

/// The rows of a table's body: the texts of their cells.
fn rows(page: &mut Page<'_>, selector: &str) -> Vec<Vec<String>> {
    let found = format!(
        "[...document.querySelectorAll({:?})].map((row) => [...row.cells].map((it) => it.textContent.trim()))",
        format!("{selector} > tbody > tr")
    );
    serde_json::from_value(page.evaluate(&found)).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("–")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn verdict(page: &mut Page<'_>, verdict: &Value) {
    let line = texts(page, "#verdict-line").remove(0);
    // The word begins with a capital letter by style.
    let (severity, expected) = (text(&verdict["severity"]), text(&verdict["line"]));
    assert!(line.to_lowercase().contains(severity) && line.ends_with(expected), "{line}");
    let findings = list(&verdict["findings"]);
    assert_eq!(texts(page, ".findings > li").len(), findings.len());
    for (at, finding) in findings.iter().enumerate() {
        let of = |inner: &str| format!(".findings > li:nth-child({}) {inner}", at + 1);
        let heading = texts(page, &of("h3")).remove(0);
        for part in ["subject", "severity", "id"] {
            assert!(heading.contains(text(&finding[part])), "{heading}: {part}");
        }
        let paragraphs = texts(page, &of("p"));
        let remedies = list(&finding["remedies"]).iter().map(text);
        assert_eq!(paragraphs, [text(&finding["reason"])].into_iter().chain(remedies).collect::<Vec<_>>());
        assert_eq!(texts(page, &of("pre")), list(&finding["commands"]).iter().map(text).collect::<Vec<_>>());
    }
    let sound: Vec<Value> = page
        .evaluate("[...document.querySelectorAll('#sound li')].map((it) => it.textContent)")
        .as_array()
        .unwrap()
        .clone();
    assert_eq!(sound, list(&verdict["sound"]));
}

fn shards(page: &mut Page<'_>, stream: &Value) {
    let all = list(&stream["shards"]);
    let find = |id: &str| all.iter().find(|shard| text(&shard["id"]) == id).unwrap();
    let check = |row: &[String]| {
        let shard = find(&row[0]);
        assert_eq!(row[1], if row[1] == "re-reading" { row[1].clone() } else { text(&shard["lag"]).replace('-', " ") });
        assert!(shows(&row[2], shard["age-seconds"].as_f64()), "{row:?}: {shard}");
        assert!(shows(&row[3], shard["loss-in-seconds"].as_f64()), "{row:?}: {shard}");
        for (cell, rate, limit) in
            [(&row[4], "records-per-second", "records-limit"), (&row[5], "bytes-per-second", "bytes-limit")]
        {
            let (figure, share) = cell.rsplit_once(' ').unwrap();
            let (value, limit) = (shard[rate].as_f64().unwrap(), stream[limit].as_f64().unwrap());
            assert!(shows(figure, Some(value)) && shows(share, Some(value / limit)), "{row:?}: {shard}");
        }
        assert_eq!(row[6], text(&shard["state"]));
    };
    let shown = rows(page, "#stream .content > .scroll > .shards");
    assert_eq!(shown.len(), all.len().min(if all.len() > 12 { 8 } else { 12 }));
    shown.iter().for_each(|row| check(row));
    if all.len() > 12 {
        let every = rows(page, "#all-shards .shards");
        every.iter().for_each(|row| check(row));
        let ids = |rows: &[Vec<String>]| rows.iter().map(|row| row[0].clone()).collect::<Vec<_>>();
        assert_eq!(ids(&every), all.iter().map(|shard| text(&shard["id"])).collect::<Vec<_>>());
        assert_eq!(ids(&shown)[..2], ["shardId-000000000018", "shardId-000000000017"], "dead before stuck");
        assert!(shown[2..].iter().all(|row| row[1] == "slow"), "{shown:?}");
    }
}

fn glance(page: &mut Page<'_>, status: &Value) {
    let labels = texts(page, "#glance dt");
    let tiles: BTreeMap<String, String> = labels.into_iter().zip(texts(page, "#glance .figure")).collect();
    let shards = list(&status["stream"]["shards"]);
    let of = |key: &str| shards.iter().filter_map(|shard| shard[key].as_f64()).collect::<Vec<_>>();
    let sum = |key: &str| Some(of(key).iter().sum());
    assert!(shows(&tiles["iterator age"], of("age-seconds").into_iter().reduce(f64::max)), "{tiles:?}");
    match of("loss-in-seconds").into_iter().reduce(f64::min) {
        None => assert_eq!(tiles["time to data loss"], "none"),
        soonest => assert!(shows(&tiles["time to data loss"], soonest), "{tiles:?}"),
    }
    assert!(shows(&tiles["records a second"], sum("records-per-second")), "{tiles:?}");
    assert!(shows(&tiles["bytes a second"], sum("bytes-per-second")), "{tiles:?}");
    let units = list(&status["history"]["write-units"]["series"]).iter().map(|series| {
        let latest = list(&series["values"]).last().unwrap().as_f64().unwrap();
        (latest / series["limit"].as_f64().unwrap(), latest)
    });
    let closest = units.max_by(|(a, _), (b, _)| a.total_cmp(b)).unwrap().1;
    assert!(shows(&tiles["write units a second"], Some(closest)), "{tiles:?}: {closest}");
    let letters =
        status["dead-letters"]["by-reason"].as_object().unwrap().values().map(|count| count.as_f64().unwrap());
    assert!(shows(&tiles["dead letters"], Some(letters.sum())), "{tiles:?}");
}

fn charts(page: &mut Page<'_>, history: &Value) {
    let kinds = history.as_object().unwrap().iter().filter(|(name, _)| *name != "times");
    for (kind, graph) in kinds {
        let legend = rows(page, &format!("[data-legend={kind}]"));
        if let Some(reason) = graph["unknown"].as_str() {
            assert!(legend.is_empty(), "{kind}");
            assert!(texts(page, ".chart .unknown").contains(&format!("unknown: {reason}")), "{kind}");
            continue;
        }
        let all = list(&graph["series"]);
        let named = |name: &str| all.iter().find(|series| text(&series["name"]) == name);
        assert_eq!(legend.len(), all.len().min(6), "{kind}");
        for row in &legend {
            let Some(series) = named(&row[0]) else {
                assert!(all.len() > 6 && (row[0].ends_with(" others") || row[0].starts_with("highest of ")), "{row:?}");
                continue;
            };
            let values: Vec<f64> = list(&series["values"]).iter().filter_map(Value::as_f64).collect();
            assert!(shows(&row[1], values.last().copied()), "{kind}: {row:?}");
            assert!(shows(&row[2], values.iter().copied().reduce(f64::max)), "{kind}: {row:?}");
            if let Some(limit) = row.get(3) {
                assert!(shows(limit, series["limit"].as_f64()), "{kind}: {row:?}");
            }
        }
    }
}

fn dead_letters(page: &mut Page<'_>, letters: &Value) {
    let by_reason = letters["by-reason"].as_object().unwrap();
    let seen = rows(page, ".reasons");
    assert_eq!(seen.len(), by_reason.len());
    for row in seen {
        assert!(shows(&row[1], by_reason[&row[0]].as_f64()), "{row:?}");
    }
    let newest = list(&letters["newest"]);
    let seen = rows(page, ".newest");
    assert_eq!(seen.len(), newest.len());
    for (row, letter) in seen.iter().zip(newest) {
        assert_eq!(row[0], text(&letter["time"])[..19].replace('T', " "));
        assert_eq!(row[1..], ["reason", "message", "id"].map(|part| text(&letter[part]).to_owned()));
    }
    for (at, letter) in newest.iter().enumerate() {
        let link = format!("document.querySelectorAll('.newest a')[{at}].pathname");
        let path = page.evaluate(&link);
        assert_eq!(path, format!("/dead-letters/{}", text(&letter["id"]).replace(':', "%3A")));
    }
}

fn rules(page: &mut Page<'_>, rules: &Value) {
    let race_types = rules["race-types"].as_object().unwrap();
    let seen = rows(page, ".race-types");
    assert_eq!(seen.len(), race_types.len());
    for row in seen {
        let race_type = &race_types[&row[0]];
        assert_eq!(row[1], race_type["current"].as_str().unwrap_or("retired"));
        let candidate = &race_type["candidate"];
        match candidate.as_object() {
            None => assert_eq!(row[2], "–"),
            Some(_) => {
                let share = candidate["share"].as_f64().unwrap();
                let expected = format!("{}, canary with {share}% of the new races", text(&candidate["rulebook"]));
                assert_eq!(row[2], expected);
            }
        }
        assert_eq!(row[3], text(&race_type["fallback"]));
        assert!(shows(&row[4], race_type["since"].as_f64()));
        let stays = [text(&race_type["current"]), text(&candidate["rulebook"])];
        let draining = list(&race_type["pinned"]).iter().filter(|pinned| !stays.contains(&text(&pinned["rulebook"])));
        let draining: Vec<String> =
            draining.map(|pinned| format!("{} {}", pinned["races"], text(&pinned["rulebook"]))).collect();
        assert_eq!(row[5], if draining.is_empty() { "–".to_owned() } else { draining.join(", ") });
    }
    let candidate = &race_types["3"]["candidate"];
    assert!(texts(page, ".trial caption")[0].ends_with(text(&candidate["verdict"])));
    for (row, arm) in rows(page, ".trial").iter().zip(["figures", "current-figures"]) {
        let parts = ["records", "failed", "bad-scores", "rejected", "failed-calls", "fuel", "nanoseconds"];
        for (cell, part) in row[1..].iter().zip(parts) {
            assert!(shows(cell, candidate[arm][part].as_f64()), "{row:?}: {part}");
        }
    }
    let hosts = list(&rules["hosts"]);
    let seen = rows(page, ".hosts");
    assert_eq!(seen.len(), hosts.len());
    for (row, host) in seen.iter().zip(hosts) {
        assert_eq!(row[..2], [text(&host["name"]), text(&host["kind"])]);
        let is_behind = host["revision"].as_u64() < rules["revision"].as_u64();
        assert_eq!(row[2], format!("{}{}", host["revision"], if is_behind { " ▲ behind" } else { "" }));
        assert_eq!(row[3], text(&host["since"])[..19].replace('T', " "));
        let refusals: Vec<String> = list(&host["refusals"]).iter().map(|it| format!("■ {}", text(it))).collect();
        assert_eq!(row[4], if refusals.is_empty() { "–".to_owned() } else { refusals.join("; ") });
    }
}

fn leaderboard(page: &mut Page<'_>, leaderboard: &Value) {
    let standings = &leaderboard["standings"];
    assert_eq!(texts(page, ".board thead th")[1..], *list(&standings["columns"]));
    let seen = rows(page, ".board");
    assert_eq!(seen.len(), list(&standings["rows"]).len());
    for (at, (row, expected)) in seen.iter().zip(list(&standings["rows"])).enumerate() {
        assert_eq!(row[0], (at + 1).to_string());
        assert_eq!(row[1..], *list(expected));
    }
    let caption = texts(page, ".board caption").remove(0);
    let race = format!("Class {}, race {}", text(&leaderboard["class"]), text(&leaderboard["race"]));
    assert!(caption.starts_with(&race) && caption.ends_with("the first 10 of 1,000"), "{caption}");
}
