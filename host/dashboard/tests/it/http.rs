//! What the dashboard answers to requests.

use std::time::Duration;

use paceline_dashboard::status::Part;
use serde_json::Value;

use crate::client::{get, next_event, open, send};
use crate::deployment::{healthy, many, trouble};
use crate::scripted::HOSTILE;
use crate::served::{MAX_LISTENERS, Served};

#[test]
fn every_response_keeps_others_out() {
    let served = Served::new(trouble());
    for path in ["/", "/status.json", "/static/dashboard.js", "/static/none", "/dead-letters/none", "/dead-letters/%ff"]
    {
        let reply = get(served.address, path);
        let policy = reply.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{path}: {policy}");
        assert!(policy.contains("form-action 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(reply.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(reply.header("cross-origin-resource-policy"), "same-origin", "{path}");
    }
}

#[test]
fn no_html_has_inline_scripts_or_styles_or_another_origin() {
    let served = Served::new(many(200));
    for path in ["/", "/dead-letters/hostile:1", "/dead-letters/none"] {
        let body = get(served.address, path).body;
        for banned in [" style=", "<style", "onload=", "onclick=", "javascript:", "https://", "http://"] {
            assert!(!body.contains(banned), "{path} contains {banned}");
        }
        let scripts = body.matches("<script").count();
        let outside = body.matches("<script defer src=\"/static/").count();
        let data = body.matches("<script type=\"application/json\"").count();
        assert_eq!(scripts, outside + data, "{path}");
    }
}

#[test]
fn only_get_and_head_are_answered() {
    let served = Served::new(healthy());
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        for path in ["/", "/status.json", "/events", "/static/dashboard.js", "/dead-letters/x"] {
            let reply = send(served.address, method, path, "localhost");
            assert_eq!((reply.status, reply.header("allow")), (405, "GET, HEAD"), "{method} {path}");
        }
    }
    assert_eq!(served.source.asked(), 0);
}

#[test]
fn head_is_get_without_a_body() {
    let served = Served::with_refresh(trouble(), Duration::from_secs(3_600));
    for path in ["/", "/status.json", "/static/dashboard.css", "/dead-letters/hostile:1", "/dead-letters/none"] {
        let (got, head) = (get(served.address, path), send(served.address, "HEAD", path, "localhost"));
        assert_eq!((got.status, got.header("content-length")), (head.status, head.header("content-length")), "{path}");
        assert!(!got.body.is_empty() && head.body.is_empty(), "{path}");
    }
    let events = send(served.address, "HEAD", "/events", "localhost");
    assert_eq!((events.status, events.header("content-type")), (200, "text/event-stream"));
}

#[test]
fn unknown_paths_are_not_found() {
    let served = Served::new(healthy());
    for path in ["/none", "/static/", "/static/../Cargo.toml", "/dead-letters/", "/dead-letters/no:1", "/index.html"] {
        assert_eq!(get(served.address, path).status, 404, "{path}");
    }
}

#[test]
fn another_host_is_refused_on_loopback() {
    let served = Served::new(healthy());
    for path in ["/", "/status.json", "/events", "/static/dashboard.js", "/dead-letters/hostile:1"] {
        let reply = send(served.address, "GET", path, "rebound.example:80");
        assert_eq!(reply.status, 421, "{path}");
        assert!(reply.body.contains("localhost"), "{}", reply.body);
    }
    assert_eq!(served.source.asked(), 0);
    assert_eq!(send(served.address, "GET", "/", "localhost:1234").status, 200);
}

#[test]
fn a_dead_letter_is_shown_escaped() {
    let served = Served::new(trouble());
    let body = get(served.address, "/dead-letters/hostile:1").body;
    assert!(!body.contains("<script>") && !body.contains("<img") && !body.contains("<i>no</i>"), "{body}");
    let shown = body.split("aria-labelledby=\"payload-title\">").nth(1).unwrap().split("</pre>").next().unwrap();
    let unescaped = shown.replace("&#60;", "<").replace("&#62;", ">").replace("&#34;", "\"").replace("&#39;", "'");
    assert_eq!(unescaped, HOSTILE);
    assert!(get(served.address, "/").body.contains("&#60;b&#62;cadence"));
}

#[test]
fn a_dead_letter_that_cannot_be_read_says_why() {
    let served = Served::new(trouble());
    let reply = get(served.address, "/dead-letters/unreadable");
    assert_eq!(reply.status, 503);
    assert!(reply.body.contains("the table does not answer"), "{}", reply.body);
}

#[test]
fn static_files_are_kept_under_the_address_with_their_hash() {
    let served = Served::new(healthy());
    let page = get(served.address, "/").body;
    let addresses: Vec<&str> = page.split('"').filter(|text| text.starts_with("/static/")).collect();
    assert_eq!(addresses.len(), 5, "{addresses:?}");
    for address in addresses {
        let kept = get(served.address, address);
        assert_eq!((kept.status, kept.header("cache-control")), (200, "public, max-age=31536000, immutable"));
        let (name, _) = address.split_once('?').unwrap();
        let other = get(served.address, &format!("{name}?v=0123456789ab"));
        assert_eq!((other.status, other.header("cache-control")), (200, "no-store"), "{name}");
    }
}

#[test]
fn the_status_has_the_leaderboard_of_the_chosen_race() {
    let served = Served::new(healthy());
    let status = |query: &str| -> Value {
        serde_json::from_str(&get(served.address, &format!("/status.json{query}")).body).unwrap()
    };
    let newest = status("");
    assert_eq!((&newest["leaderboard"]["class"], &newest["leaderboard"]["race"]), (&"3".into(), &"5403307".into()));
    let class = status("?class=3");
    assert_eq!((&class["leaderboard"]["class"], &class["leaderboard"]["race"]), (&"3".into(), &Value::Null));
    assert_eq!(status("?class=6")["leaderboard"]["standings"]["unknown"], "the table does not answer");
    let known: paceline_dashboard::Status = {
        let mut document = newest.clone();
        document.as_object_mut().unwrap().remove("leaderboard");
        serde_json::from_value(document).unwrap()
    };
    assert_eq!(known, healthy());
}

#[test]
fn what_is_unknown_is_shown_with_its_reason() {
    let served = Served::new(healthy());
    served.source.change(|status| {
        status.verdict = Part::unknown("reason of the verdict");
        status.stream = Part::unknown("reason of the stream");
        status.history = Part::unknown("reason of the history");
        status.dead_letters = Part::unknown("reason of the dead letters");
        status.rules = Part::unknown("reason of the rules");
        status.races = Part::unknown("reason of the races");
    });
    let reply = get(served.address, "/");
    assert_eq!(reply.status, 200);
    for part in ["verdict", "stream", "history", "dead letters", "rules", "races"] {
        assert!(reply.body.contains(&format!("reason of the {part}")), "{part}");
    }
}

#[test]
fn the_source_is_asked_once_for_everybody_who_looks() {
    let served = Served::with_refresh(healthy(), Duration::from_secs(3_600));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(get(served.address, "/").status, 200));
        }
    });
    assert_eq!(served.source.asked(), 1);
}

#[test]
fn an_open_page_gets_what_has_changed() {
    let served = Served::new(healthy());
    let (status, headers, mut reader) = open(served.address, "GET", "/events", "localhost");
    assert_eq!((status, headers["content-type"].as_str()), (200, "text/event-stream"));
    let first = next_event(&mut reader);
    assert!(first["sections"]["verdict"].as_str().unwrap().contains("within a second"), "{first}");
    assert!(first["charts"]["times"].is_array());
    served.source.change(|status| status.verdict = Part::unknown("gone"));
    loop {
        let event = next_event(&mut reader);
        let sections = event["sections"].as_object().unwrap();
        assert!(!sections.contains_key("stream") && event["charts"].is_null(), "{event}");
        if let Some(verdict) = sections.get("verdict") {
            assert!(verdict.as_str().unwrap().contains("gone"));
            break;
        }
    }
}

#[test]
fn listeners_are_bounded_and_give_their_place_back() {
    let served = Served::new(healthy());
    let mut listening = Vec::new();
    for _ in 0..MAX_LISTENERS {
        let (status, _, mut reader) = open(served.address, "GET", "/events", "localhost");
        next_event(&mut reader);
        assert_eq!(status, 200);
        listening.push(reader);
    }
    assert_eq!(get(served.address, "/events").status, 503);
    assert_eq!(get(served.address, "/").status, 200);
    drop(listening.pop());
    // The server sees the end of the connection at the latest when it writes the next update.
    let again = std::iter::repeat_with(|| open(served.address, "GET", "/events", "localhost").0);
    assert_eq!(again.take(100_000).find(|status| *status != 503), Some(200));
}
