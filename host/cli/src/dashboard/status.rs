//! The parts of the dashboard's document.

use std::collections::BTreeMap;

use paceline_capacity::kinesis::{SHARD_BYTES_PER_SECOND, SHARD_RECORDS_PER_SECOND};
use paceline_config::Config;
use paceline_dashboard::status::{
    DeadLetterSummary, DeadLetters, Finding, Lag, Part, Severity, Shard, ShardState, Status, Stream, Verdict,
};
use paceline_doctor::history::{Namespace, Point, Selection, Statistic, Stream as HistoryStream};
use paceline_doctor::{Diagnosis, History, LagState, ReaderLag, Report, Severity as Found, Timestamp, examine};

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
            Some(Found::Critical) => Severity::Critical,
            Some(Found::Warning) => Severity::Warning,
            _ if is_unknown(report) => Severity::Unknown,
            Some(Found::Note) => Severity::Notice,
            None => Severity::Sound,
        },
        line: line(report),
        findings,
        sound: report.healthy.iter().map(|check| format!("{}: {}", check.check, check.line)).collect(),
    }
}

/// Whether the deployment may be healthy or not, for lack of sources.
fn is_unknown(report: &Report) -> bool {
    report.severity <= Some(Found::Note) && !report.complete || report.findings.is_empty() && report.healthy.is_empty()
}

/// The first cause in a sentence, or what could not be read. The severity stands before it.
fn line(report: &Report) -> String {
    match (report.findings.first(), report.healthy.len()) {
        _ if is_unknown(report) => report.verdict.trim_start_matches("unknown: ").to_owned(),
        (Some(first), _) => first.finding.reason.trim_end_matches('.').to_owned(),
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
    let of_shards = OfShards::new(history, report);
    let shards = ids.into_iter().map(|id| of_shards.shard(id)).collect();
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

/// What is known by shard, selected once for all shards.
struct OfShards<'a> {
    states: BTreeMap<String, ShardState>,
    /// The lag of the reader that lags most.
    lags: BTreeMap<&'a str, &'a ReaderLag>,
    /// That of the stream's readers, if it has one open shard: then it is that shard's.
    of_all: Option<&'a ReaderLag>,
    ages: BTreeMap<&'a str, Selection<'a>>,
    records: Rates<'a>,
    bytes: Rates<'a>,
}

/// What arrives, by the counter of hosts and by CloudWatch's metric.
struct Rates<'a> {
    hosts: BTreeMap<&'a str, Selection<'a>>,
    shards: BTreeMap<&'a str, Selection<'a>>,
    /// The metric of the stream, if it has one open shard.
    of_all: Option<Selection<'a>>,
}

impl<'a> OfShards<'a> {
    fn new(history: &'a History, report: &'a Report) -> Self {
        let open = |stream: &HistoryStream| stream.shards.iter().filter(|shard| shard.open).count();
        let only = history.stream.as_ref().is_some_and(|stream| open(stream) == 1);
        let older = |a: &&ReaderLag, b: &&ReaderLag| a.lag.age_seconds.total_cmp(&b.lag.age_seconds);
        let mut lags: BTreeMap<&str, &ReaderLag> = BTreeMap::new();
        for reader in &report.lag {
            if let Some(shard) = reader.shard.as_deref() {
                let worst = lags.entry(shard).or_insert(reader);
                *worst = std::cmp::max_by(*worst, reader, older);
            }
        }
        Self {
            states: states(history),
            lags,
            of_all: report.lag.iter().filter(|_| only).max_by(older),
            ages: history.select(Namespace::Host, "paceline_iterator_age_seconds").by("shard"),
            records: Rates::new(history, ("paceline_stream_records_total", "IncomingRecords"), only),
            bytes: Rates::new(history, ("paceline_stream_bytes_total", "IncomingBytes"), only),
        }
    }

    fn shard(&self, id: String) -> Shard {
        let worst = self.lags.get(id.as_str()).copied().or(self.of_all);
        let age = self.ages.get(id.as_str()).and_then(|ages| ages.highest().last());
        Shard {
            state: self.states.get(&id).copied(),
            lag: worst.and_then(|it| lag(it.lag.state)),
            age_seconds: worst.map(|it| it.lag.age_seconds).or(age.map(|point| point.1)),
            loss_in_seconds: worst.and_then(|it| it.lag.seconds_to_loss),
            records_per_second: self.records.of(&id),
            bytes_per_second: self.bytes.of(&id),
            id,
        }
    }
}

impl<'a> Rates<'a> {
    fn new(history: &'a History, (counter, metric): (&str, &str), only: bool) -> Self {
        let cloud = history.select(Namespace::Kinesis, metric).statistic(Statistic::Sum);
        Self {
            hosts: history.select(Namespace::Host, counter).by("shard"),
            shards: cloud.by("ShardId"),
            of_all: only.then(|| cloud.without("ShardId")),
        }
    }

    /// A second, at the last reading.
    fn of(&self, id: &str) -> Option<f64> {
        let increases = self.hosts.get(id).map(Selection::increases);
        let of_hosts = increases.and_then(|it| Some(it.last()?.1 / seconds_between(&it.points)?));
        let cloud = || Some(self.of_all.as_ref().or_else(|| self.shards.get(id))?.sum().per_second().last()?.1);
        of_hosts.or_else(cloud)
    }
}

/// Seconds between the last two points.
fn seconds_between(points: &[Point]) -> Option<f64> {
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
    Some(DeadLetters { by_reason: letters.by_reason.clone()?, more: letters.more, newest }.into())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use paceline_doctor::history::{Metric, Series};

    use super::*;

    const SHARDS: usize = 200;
    /// Six minutes of readings, as many as are kept.
    const READINGS: u64 = 180;
    const GAUGES: [&str; 2] = ["paceline_iterator_age_seconds", "paceline_shard_state"];
    const COUNTERS: [&str; 8] = [
        "paceline_stream_records_total",
        "paceline_stream_bytes_total",
        "paceline_stream_throttles_total",
        "paceline_stream_retries_total",
        "paceline_store_waits_total",
        "paceline_misrouted_records_total",
        "paceline_records_total",
        "paceline_batches_total",
    ];

    /// A host that reads 200 shards, at a reading in two seconds. Each shard gets 100 records a second.
    fn observed() -> Observed {
        let mut history = History::new(Timestamp(0), Timestamp(2_000 * (READINGS - 1)));
        for shard in 0..SHARDS {
            for name in GAUGES.iter().chain(&COUNTERS) {
                let value = |reading: u64| match *name {
                    "paceline_iterator_age_seconds" => 0.5,
                    "paceline_shard_state" => 1.0,
                    _ => 200.0 * reading as f64,
                };
                let mut dimensions = BTreeMap::from([
                    ("host".to_owned(), "127.0.0.1:9464".to_owned()),
                    ("shard".to_owned(), format!("shardId-{shard:012}")),
                ]);
                if *name == "paceline_shard_state" {
                    dimensions.insert("state".to_owned(), "reading".to_owned());
                }
                history.series.push(Series {
                    metric: Metric { namespace: Namespace::Host, name: (*name).to_owned() },
                    dimensions,
                    statistic: Statistic::Value,
                    period_seconds: 0.0,
                    points: (0..READINGS).map(|at| Point(Timestamp(2_000 * at), value(at))).collect(),
                });
            }
        }
        Observed { history, rules: None }
    }

    #[test]
    fn a_deployment_of_which_a_source_was_not_read_is_not_sound() {
        let mut observed = observed();
        observed.history.series.retain(|series| GAUGES.contains(&series.metric.name.as_str()));
        let known = status(&observed, "a test", None).verdict.known().unwrap().severity;
        assert!(known <= Severity::Notice, "{known}");
        observed.history.unavailable.push(paceline_doctor::history::Unavailable {
            what: "table races".to_owned(),
            permission: None,
            reason: "connection refused".to_owned(),
            by_limit: false,
        });
        let status = status(&observed, "a test", None);
        let verdict = status.verdict.known().unwrap();
        assert_eq!(verdict.severity, Severity::Unknown, "{}", verdict.line);
        assert!(verdict.line.starts_with("table races could not be read; "), "{}", verdict.line);
    }

    #[test]
    fn each_shard_has_its_own_figures() {
        let status = status(&observed(), "a test", None);
        let stream = status.stream.known().unwrap();
        assert_eq!(stream.shards.len(), SHARDS);
        for shard in &stream.shards {
            assert_eq!((shard.state, shard.records_per_second), (Some(ShardState::Reading), Some(100.0)), "{shard:?}");
            assert_eq!(shard.age_seconds, Some(0.5), "{shard:?}");
        }
    }

    /// The processor time of this thread, where the system has it; else the time that has passed.
    fn processor_time(since: Instant) -> Duration {
        let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
        let nanos = statistics.and_then(|text| text.split(' ').next()?.parse().ok());
        nanos.map_or_else(|| since.elapsed(), Duration::from_nanos)
    }

    /// The server has the rest of the 50 ms of a refresh for the page.
    #[test]
    fn a_status_of_200_shards_takes_below_50_ms_of_a_processor() {
        const TIMES: u32 = 10;
        let (observed, start) = (observed(), Instant::now());
        let before = processor_time(start);
        for _ in 0..TIMES {
            // The observer copies what it has seen.
            std::hint::black_box(status(&observed.clone(), "a test", None));
        }
        let each = (processor_time(start) - before) / TIMES;
        assert!(each < Duration::from_millis(50), "{each:?}");
    }
}
