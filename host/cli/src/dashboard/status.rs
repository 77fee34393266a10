//! The parts of the dashboard's document.

use std::collections::BTreeMap;

use paceline_capacity::kinesis::{SHARD_BYTES_PER_SECOND, SHARD_RECORDS_PER_SECOND};
use paceline_config::Config;
use paceline_dashboard::status::{
    DeadLetterSummary, DeadLetters, Finding, Lag, Part, Severity, Shard, ShardState, Status, Stream, Verdict,
};
use paceline_doctor::history::{Namespace, Statistic};
use paceline_doctor::{Diagnosis, History, LagState, Report, Severity as Found, Timestamp, examine};

use super::charts;
use crate::observer::Observed;

/// The newest dead letters that are shown.
const NEWEST: usize = 10;

/// What was observed, as the dashboard shows it.
pub(super) fn status(observed: &Observed, origin: &str, config: Option<&Config>) -> Status {
    let history = &observed.history;
    let report = examine(history);
    let why = |what: &str| why_unknown(history, what);
    let rules = observed.rules.as_ref();
    Status {
        time: history.until,
        deployment: name(history, config),
        origin: origin.to_owned(),
        verdict: verdict(&report).into(),
        stream: stream(history, &report).unwrap_or_else(|| Part::unknown(why("stream"))),
        history: charts::charts(history),
        dead_letters: dead_letters(history).unwrap_or_else(|| Part::unknown(why("dead letters"))),
        rules: rules.map_or_else(|| Part::unknown(why("rules")), |rules| rules.status.clone().into()),
        races: rules.map_or_else(|| Part::unknown(why("rules")), |rules| rules.races.clone().into()),
    }
}

/// Nothing could be observed.
pub(super) fn unknown(origin: &str, reason: &str) -> Status {
    Status {
        time: Timestamp(0),
        deployment: String::new(),
        origin: origin.to_owned(),
        verdict: Part::unknown(reason),
        stream: Part::unknown(reason),
        history: Part::unknown(reason),
        dead_letters: Part::unknown(reason),
        rules: Part::unknown(reason),
        races: Part::unknown(reason),
    }
}

fn name(history: &History, config: Option<&Config>) -> String {
    let stream = history.stream.as_ref().map(|stream| stream.name.clone());
    let function = history.function.as_ref().map(|function| function.name.clone());
    let configured = config.and_then(|config| config.source.as_ref()?.kinesis.as_ref().map(|it| it.stream.clone()));
    stream.or(function).or(configured).unwrap_or_else(|| "paceline".to_owned())
}

/// Why a part was not observed: what the history notes of it, or that nothing names it.
fn why_unknown(history: &History, what: &str) -> String {
    let noted = history.unavailable.iter().find(|unavailable| unavailable.what.contains(what));
    noted.map_or_else(
        || format!("nothing names the {what}: use --config FILE"),
        |unavailable| match &unavailable.permission {
            Some(permission) => format!("{}; the permission {permission} is missing", unavailable.reason),
            None => unavailable.reason.clone(),
        },
    )
}

fn verdict(report: &Report) -> Verdict {
    let findings = report.findings.iter().flat_map(all).collect();
    Verdict {
        severity: match report.severity {
            None => Severity::Sound,
            Some(Found::Note) => Severity::Notice,
            Some(Found::Warning) => Severity::Warning,
            Some(Found::Critical) => Severity::Critical,
        },
        line: line(report),
        findings,
        sound: report.healthy.iter().map(|check| format!("{}: {}", check.check, check.line)).collect(),
    }
}

/// The first cause in a sentence. The severity stands before it.
fn line(report: &Report) -> String {
    match (report.findings.first(), report.healthy.len()) {
        (Some(first), _) => first.finding.reason.trim_end_matches('.').to_owned(),
        (None, 0) => "Nothing could be checked".to_owned(),
        (None, 1) => "One check found nothing".to_owned(),
        (None, checks) => format!("{checks} checks found nothing"),
    }
}

/// A finding and what follows from it.
fn all(diagnosis: &Diagnosis) -> Vec<Finding> {
    let finding = &diagnosis.finding;
    let mut findings = vec![Finding {
        id: diagnosis.check.to_owned(),
        severity: match finding.severity {
            Found::Note => Severity::Notice,
            Found::Warning => Severity::Warning,
            Found::Critical => Severity::Critical,
        },
        subject: finding.subject.clone(),
        reason: finding.reason.clone(),
        remedies: finding.remedies.iter().map(|remedy| remedy.effect.clone()).collect(),
        commands: finding.remedies.iter().map(|remedy| remedy.command.clone()).collect(),
    }];
    findings.extend(diagnosis.consequences.iter().flat_map(all));
    findings
}

fn stream(history: &History, report: &Report) -> Option<Part<Stream>> {
    let stream = history.stream.as_ref();
    let host_ages = history.select(Namespace::Host, "paceline_iterator_age_seconds");
    let mut ids: Vec<String> = stream.map_or_else(Vec::new, |it| {
        it.shards.iter().filter(|shard| shard.open).map(|shard| shard.id.clone()).collect()
    });
    ids.extend(host_ages.by("shard").keys().map(|id| (*id).to_owned()));
    ids.sort();
    ids.dedup();
    if stream.is_none() && ids.is_empty() {
        return None;
    }
    let states = states(history);
    let shards = ids.into_iter().map(|id| shard(history, report, id, &states)).collect();
    Some(
        Stream {
            name: name(history, None),
            retention_hours: stream.map_or(paceline_capacity::kinesis::RETENTION_HOURS, |it| it.retention_hours),
            records_limit: SHARD_RECORDS_PER_SECOND,
            bytes_limit: SHARD_BYTES_PER_SECOND,
            shards,
        }
        .into(),
    )
}

/// The state of each shard that a host reads, as it was last.
fn states(history: &History) -> BTreeMap<String, ShardState> {
    let mut states = BTreeMap::new();
    for (id, of_shard) in history.select(Namespace::Host, "paceline_shard_state").by("shard") {
        for (state, course) in of_shard.by("state") {
            let is_now = course.highest().last().is_some_and(|point| point.1 > 0.0);
            let state = match state {
                "waiting" => ShardState::Waiting,
                "starting" => ShardState::Starting,
                "reading" => ShardState::Reading,
                "failing" => ShardState::Failing,
                _ => ShardState::Done,
            };
            if is_now {
                states.insert(id.to_owned(), state);
            }
        }
    }
    states
}

fn shard(history: &History, report: &Report, id: String, states: &BTreeMap<String, ShardState>) -> Shard {
    let of_reader = report.lag.iter().filter(|lag| lag.shard.as_deref() == Some(id.as_str()));
    let worst = of_reader.max_by(|a, b| a.lag.age_seconds.total_cmp(&b.lag.age_seconds));
    // Where no metric is by shard, that of the stream is its only shard's.
    let open = |stream: &paceline_doctor::history::Stream| stream.shards.iter().filter(|shard| shard.open).count();
    let only = history.stream.as_ref().is_some_and(|stream| open(stream) == 1);
    let worst = worst
        .or_else(|| report.lag.iter().filter(|_| only).max_by(|a, b| a.lag.age_seconds.total_cmp(&b.lag.age_seconds)));
    let host_age = history.select(Namespace::Host, "paceline_iterator_age_seconds").with("shard", &id).highest().last();
    let rate = |counter: &str, metric: &str| {
        let host = history.select(Namespace::Host, counter).with("shard", &id).increases();
        let host = host.last().zip(seconds_between(&host.points));
        let cloud = history.select(Namespace::Kinesis, metric).statistic(Statistic::Sum);
        let cloud = if only { cloud.without("ShardId") } else { cloud.with("ShardId", &id) };
        host.map(|(point, seconds)| point.1 / seconds).or_else(|| cloud.sum().per_second().last().map(|point| point.1))
    };
    Shard {
        state: states.get(&id).copied(),
        lag: worst.and_then(|it| lag(it.lag.state)),
        age_seconds: worst.map(|it| it.lag.age_seconds).or(host_age.map(|point| point.1)),
        loss_in_seconds: worst.and_then(|it| it.lag.seconds_to_loss),
        records_per_second: rate("paceline_stream_records_total", "IncomingRecords"),
        bytes_per_second: rate("paceline_stream_bytes_total", "IncomingBytes"),
        id,
    }
}

/// Seconds between the last two points.
pub(super) fn seconds_between(points: &[paceline_doctor::history::Point]) -> Option<f64> {
    let [.., before, last] = points else { return None };
    Some(last.0.since(before.0).as_secs_f64()).filter(|seconds| *seconds > 0.0)
}

fn lag(state: LagState) -> Option<Lag> {
    Some(match state {
        LagState::Unknown => return None,
        LagState::CaughtUp => Lag::KeepingUp,
        LagState::CatchingUp => Lag::CatchingUp,
        LagState::ReReading => Lag::ReReading,
        LagState::Slow => Lag::Slow,
        LagState::Stuck => Lag::Stuck,
        LagState::Dead => Lag::Dead,
    })
}

fn dead_letters(history: &History) -> Option<Part<DeadLetters>> {
    let letters = history.dead_letters.as_ref()?;
    let mut newest: Vec<DeadLetterSummary> = letters
        .newest
        .iter()
        .map(|letter| DeadLetterSummary {
            id: letter.id.clone(),
            reason: letter.reason.clone(),
            message: letter.message.clone(),
            time: letter.at,
        })
        .collect();
    newest.sort_by_key(|letter| std::cmp::Reverse(letter.time));
    newest.truncate(NEWEST);
    Some(DeadLetters { by_reason: letters.by_reason.clone(), more: letters.more, newest }.into())
}
