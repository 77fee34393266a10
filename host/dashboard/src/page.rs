//! The page and its sections as HTML. Every value is escaped by the templates.
//!
//! - `glance`: the six figures at the top.
//! - `shards`: the table of shards, the worst first, and the strip of many.
//! - `charts`: the series of each chart, its legend, and what the script draws.
//! - `sections`: the sections that are updated, each one template.

mod charts;
mod glance;
mod sections;
mod shards;

use askama::Template;

use crate::assets::{self, Asset};
use crate::format;
use crate::status::{DeadLetter, Payload, RaceKey, Status};

pub(crate) use charts::Charts;
pub(crate) use sections::{Section, leaderboard, sections};

/// The whole page.
#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    title: String,
    deployment: &'a str,
    sections: &'a [Section],
    leaderboard: &'a Section,
    charts: &'a str,
    events: String,
    styles: [&'static Asset; 2],
    scripts: [&'static Asset; 2],
    icon: &'static Asset,
}

/// The page of a dead letter.
#[derive(Template)]
#[template(path = "letter.html")]
struct Letter<'a> {
    letter: &'a DeadLetter,
    styles: [&'static Asset; 2],
    icon: &'static Asset,
}

/// A page that says what can't be shown, and why.
#[derive(Template)]
#[template(path = "problem.html")]
struct Problem<'a> {
    title: &'a str,
    reason: &'a str,
    styles: [&'static Asset; 2],
    icon: &'static Asset,
}

fn styles() -> [&'static Asset; 2] {
    [&assets::UPLOT_STYLE, &assets::STYLE]
}

/// The title of the page, which the script keeps up to date.
pub(crate) fn title(status: &Status) -> String {
    match status.verdict.known() {
        Some(verdict) => format!("{}: {} – paceline", status.deployment, verdict.severity),
        None => format!("{} – paceline", status.deployment),
    }
}

/// The whole page. `charts` is what the script draws, as JSON without `<`.
pub(crate) fn whole(
    status: &Status,
    sections: &[Section],
    leaderboard: &Section,
    charts: &str,
    chosen: Option<&RaceKey>,
) -> askama::Result<String> {
    let page = Page {
        title: title(status),
        deployment: &status.deployment,
        sections,
        leaderboard,
        charts,
        events: format!("/events{}", chosen.map(query).unwrap_or_default()),
        styles: styles(),
        scripts: [&assets::UPLOT, &assets::SCRIPT],
        icon: &assets::ICON,
    };
    page.render()
}

/// The page of a dead letter.
pub(crate) fn letter(letter: &DeadLetter) -> askama::Result<String> {
    Letter { letter, styles: styles(), icon: &assets::ICON }.render()
}

/// A page that says what can't be shown, and why.
pub(crate) fn problem(title: &str, reason: &str) -> askama::Result<String> {
    Problem { title, reason, styles: styles(), icon: &assets::ICON }.render()
}

/// The query that chooses a race's leaderboard.
pub(crate) fn query(race: &RaceKey) -> String {
    let class = encode(&race.class);
    match &race.race {
        Some(race) => format!("?class={class}&race={}", encode(race)),
        None => format!("?class={class}"),
    }
}

/// A text in a query or a path.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
