use askama::Template;

use super::charts::{Chart, Charts};
use super::glance::{Tile, tiles};
use super::shards::Shards;
use super::{encode, format, query, title};
use crate::status::{CandidateMode, Figures, Leaderboard, Part, RaceKey, Severity, Status, Verdict};

/// A part of the page that is updated as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    /// The id of its element.
    pub(crate) id: &'static str,
    /// The element.
    pub(crate) html: String,
}

#[derive(Template)]
#[template(path = "as-of.html")]
struct AsOf<'a> {
    status: &'a Status,
    title: String,
}

#[derive(Template)]
#[template(path = "verdict.html")]
struct VerdictSection<'a> {
    verdict: &'a Part<Verdict>,
}

#[derive(Template)]
#[template(path = "glance.html")]
struct Glance {
    tiles: Vec<Tile>,
}

#[derive(Template)]
#[template(path = "stream.html")]
struct StreamSection<'a> {
    shards: Part<Shards<'a>>,
    charts: Vec<&'a Chart>,
}

#[derive(Template)]
#[template(path = "charts.html")]
struct ChartsSection<'a> {
    id: &'static str,
    title: &'static str,
    about: &'static str,
    charts: Vec<&'a Chart>,
}

#[derive(Template)]
#[template(path = "dead-letters.html")]
struct DeadLettersSection<'a> {
    status: &'a Status,
    charts: Vec<&'a Chart>,
}

#[derive(Template)]
#[template(path = "rules.html")]
struct RulesSection<'a> {
    status: &'a Status,
}

#[derive(Template)]
#[template(path = "leaderboard.html")]
struct LeaderboardSection<'a> {
    races: &'a Part<Vec<RaceKey>>,
    chosen: Option<&'a RaceKey>,
    board: Option<&'a Part<Leaderboard>>,
}

/// The sections in their order, without the leaderboard.
pub(crate) fn sections(status: &Status, charts: &Charts) -> askama::Result<Vec<Section>> {
    let shards = match &status.stream {
        Part::Known(stream) => Part::Known(Shards::new(stream)),
        Part::Unknown(unknown) => Part::Unknown(unknown.clone()),
    };
    let processing = ChartsSection {
        id: "processing",
        title: "Processing",
        about: "Where the time of a batch goes, and how close invocations are to their bounds.",
        charts: charts.of(&["batch-time", "duration", "concurrency"]),
    };
    let table = ChartsSection {
        id: "table",
        title: "Table",
        about: "What writing costs, against what is provisioned.",
        charts: charts.of(&["write-units", "units-per-1000-records", "throttles"]),
    };
    let age = charts.of(&["age", "records-per-second", "bytes-per-second"]);
    let letters = charts.of(&["dead-letters"]);
    Ok(vec![
        Section { id: "as-of", html: AsOf { status, title: title(status) }.render()? },
        Section { id: "verdict", html: VerdictSection { verdict: &status.verdict }.render()? },
        Section { id: "glance", html: Glance { tiles: tiles(status) }.render()? },
        Section { id: "stream", html: StreamSection { shards, charts: age }.render()? },
        Section { id: "processing", html: processing.render()? },
        Section { id: "table", html: table.render()? },
        Section { id: "dead-letters", html: DeadLettersSection { status, charts: letters }.render()? },
        Section { id: "rules", html: RulesSection { status }.render()? },
    ])
}

/// The section with the leaderboard of the chosen race, if one is.
pub(crate) fn leaderboard(
    status: &Status,
    chosen: Option<&RaceKey>,
    board: Option<&Part<Leaderboard>>,
) -> askama::Result<Section> {
    let html = LeaderboardSection { races: &status.races, chosen, board }.render()?;
    Ok(Section { id: "leaderboard", html })
}

/// The sign that stands beside a severity's word.
fn sign(severity: &Severity) -> &'static str {
    match severity {
        Severity::Sound => "✓",
        Severity::Notice => "i",
        Severity::Unknown => "?",
        Severity::Warning => "▲",
        Severity::Critical => "■",
    }
}

/// The mode of a trial in words.
fn mode(mode: &CandidateMode, share: Option<&f64>) -> String {
    match (mode, share) {
        (CandidateMode::Canary, Some(share)) => format!("canary with {share}% of the new races"),
        (CandidateMode::Canary, None) => "canary".to_owned(),
        (CandidateMode::Shadow, _) => "shadow".to_owned(),
    }
}

/// A row of a trial's figures.
fn figures(figures: &Figures) -> [String; 7] {
    let optional = |value: Option<u64>| value.map_or_else(|| format::UNKNOWN.to_owned(), format::count);
    let counts = [figures.records, figures.failed, figures.bad_scores, figures.rejected, figures.failed_calls]
        .map(format::count);
    let [records, failed, bad_scores, rejected, failed_calls] = counts;
    [records, failed, bad_scores, rejected, failed_calls, optional(figures.fuel), optional(figures.nanoseconds)]
}
