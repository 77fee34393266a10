//! How far readers are behind, and when records are lost.

use super::facts::{HOST, METRICS, NO_SERIES, arrivals, not_known, recent, retention_seconds};
use super::parallelism::parallelize;
use super::readers::show_consumer;
use super::readings::{Reading, readings};
use crate::command::Command;
use crate::finding::{Evidence, Finding, Outcome, Remedy, Severity};
use crate::history::{History, Namespace, Point, Statistic};
use crate::lag::LagState;
use crate::prices::extended_retention_of_a_shard;
use crate::words::{counted, dollars, duration, percent};

/// The share of the retention at which an age is a risk.
const RISK: f64 = 0.5;
/// The share of the retention at which records expire: ages are maxima of a minute.
const EXPIRED: f64 = 0.995;
/// Seconds of age from which on a reader that does not go on is critical.
const STUCK_SECONDS: f64 = 300.0;
/// The highest retention that a remedy proposes, in hours: a week costs what longer retention costs by the GB.
const WEEK_HOURS: u32 = 168;

/// Whether readers keep up.
pub(super) fn iterator_age(history: &History) -> Outcome {
    let readings = readings(history);
    let arrivals = arrivals(history);
    if readings.is_empty() {
        let comes_in = arrivals.is_some_and(|it| it.any_since(recent(history, it.records.period_seconds)));
        if comes_in && history.observes(Namespace::Kinesis) {
            return Outcome::Findings(vec![no_reader(history)]);
        }
        return Outcome::NotChecked(not_known(history, METRICS, "no reader's age was measured"));
    }
    let mut findings = Vec::new();
    for reading in &readings {
        let same_reader = |other: &&Reading| other.reader == reading.reader;
        let worst = readings.iter().filter(same_reader).max_by(|a, b| worse(a).total_cmp(&worse(b)));
        let is_worst = worst.is_some_and(|worst| std::ptr::eq(worst, reading));
        if is_worst && reading.lag.state != LagState::CaughtUp {
            let late = readings.iter().filter(same_reader).filter(|it| it.lag.state != LagState::CaughtUp).count();
            findings.push(behind(history, reading, late));
        }
    }
    let oldest = readings.iter().map(|it| it.lag.age_seconds).fold(0.0, f64::max);
    Outcome::of(findings, format!("readers keep up: {} behind at most", duration(oldest)))
}

/// By state first, then by age.
fn worse(reading: &Reading) -> f64 {
    f64::from(reading.lag.state as u8) * 1e12 + reading.lag.age_seconds
}

/// Nobody reads.
fn no_reader(history: &History) -> Finding {
    let name = history.stream.as_ref().map_or("", |stream| stream.name.as_str());
    Finding::new(
        Severity::Critical,
        format!("stream {name}"),
        "Records come in and nobody reads them: there is no age of any reader in the whole span.",
    )
    .evidences(arrivals(history).map(|it| Evidence::point("IncomingRecords", it.peak(), "records a second")))
    .remedy(enable_or_start(history))
}

/// Starts the reader that there is.
fn enable_or_start(history: &History) -> Remedy {
    let mapping = history.function.iter().flat_map(|function| &function.mappings).next();
    match mapping {
        Some(mapping) => Remedy::new(
            Command::aws(history, "lambda update-event-source-mapping")
                .option("--uuid", &mapping.id)
                .word("--enabled")
                .build(),
            "The mapping reads on where it stopped.",
            "what the invocations cost",
        ),
        None => Remedy::new(
            Command::paceline(history, "run").build(),
            "Reads on from the checkpoints, or from where `start` says if there are none.",
            "that of the machine",
        ),
    }
}

/// The finding of a reader that is behind.
fn behind(history: &History, reading: &Reading, late: usize) -> Finding {
    let lag = &reading.lag;
    let retention = retention_seconds(history);
    let share = retention.map_or(0.0, |retention| lag.age_seconds / retention);
    let (severity, sentence) = match lag.state {
        LagState::CaughtUp => (Severity::Note, "reads records as they come"),
        LagState::Unknown => (Severity::Warning, "is behind; one value does not show whether it catches up"),
        LagState::CatchingUp => (Severity::Note, "is behind and catches up"),
        LagState::ReReading => (
            Severity::Warning,
            "began again with older records, and works them off: a reset of its \
             position, a replay, or a new reader. Dedup drops what was folded before",
        ),
        LagState::Slow if lag.growth > 0.0 && lag.seconds_to_loss.is_some() => {
            (Severity::Warning, "is slower than records come: its age grows, but not by a second a second")
        }
        LagState::Slow => (Severity::Warning, "is behind and does not catch up: it is just as fast as records come"),
        LagState::Stuck if lag.age_seconds < STUCK_SECONDS => {
            (Severity::Warning, "does not go on: its age grows by a second a second")
        }
        LagState::Stuck => (Severity::Critical, "does not go on: its age grows by a second a second"),
        LagState::Dead => (Severity::Critical, "is gone: it shows no age any more while records come in"),
    };
    let (severity, sentence) = match share {
        share if share >= EXPIRED => (Severity::Critical, "is so far behind that records expire before it reads them"),
        share if share >= RISK => (severity.max(Severity::Warning), sentence),
        _ => (severity, sentence),
    };
    let mut finding = Finding::new(severity, reading.subject(), format!("The reader {sentence}."))
        .evidence(
            Evidence::point(reading.metric, Point(lag.at, lag.age_seconds), "seconds")
                .threshold(reading.allowance_seconds),
        )
        .evidence(Evidence::new("growth of the age", lag.growth, "seconds a second"));
    if late > 1 {
        finding = finding.evidence(Evidence::new("shards behind", late as f64, ""));
    }
    if let Some(retention) = retention {
        finding = finding.arithmetic(format!(
            "{} of {} retention: {}",
            duration(lag.age_seconds),
            duration(retention),
            percent(share)
        ));
    }
    if let (Some(left), Some(retention)) = (lag.seconds_to_loss, retention) {
        finding = finding.arithmetic(format!(
            "({} − {}) ÷ {:.2} s/s: records are lost in {}",
            duration(retention),
            duration(lag.age_seconds),
            lag.growth.min(1.0),
            duration(left)
        ));
    }
    if let Some(left) = lag.seconds_to_catch_up {
        finding = finding.arithmetic(format!(
            "{} ÷ {:.2} s/s: caught up in {}",
            duration(lag.age_seconds),
            -lag.growth,
            duration(left)
        ));
    }
    match lag.state {
        LagState::Dead => finding.remedy(enable_or_start(history)),
        LagState::CatchingUp | LagState::ReReading => finding,
        LagState::Unknown => finding.remedy(Remedy::new(
            Command::paceline(history, "doctor").word("--watch").build(),
            "Observes for longer, until the age has a course.",
            "some requests to CloudWatch",
        )),
        _ => finding.remedies(faster(history, reading)),
    }
}

/// What makes the reader faster, where settings can do that.
fn faster(history: &History, reading: &Reading) -> Vec<Remedy> {
    if reading.is_consumer() {
        return vec![show_consumer(history, reading.reader.rsplit(' ').next().unwrap_or_default())];
    }
    let mut remedies: Vec<Remedy> = parallelize(history);
    if history.function.is_none() {
        remedies.push(Remedy::new(
            Command::paceline(history, "kcl")
                .option("--write-properties", "kcl.properties")
                .option("--application", "paceline")
                .build(),
            "Spreads the shards over several machines, by Amazon's KCL.",
            "that of the machines, and of the KCL's lease table",
        ));
    }
    remedies
}

/// Whether an age comes near the retention.
pub(super) fn data_loss(history: &History) -> Outcome {
    let Some(retention) = retention_seconds(history) else {
        return Outcome::NotChecked(not_known(history, &["stream"], "the stream's retention is not known"));
    };
    let all = readings(history);
    let Some(reading) = all.iter().max_by(|a, b| a.lag.age_seconds.total_cmp(&b.lag.age_seconds)) else {
        return Outcome::NotChecked(not_known(history, METRICS, "no reader's age was measured"));
    };
    let share = reading.lag.age_seconds / retention;
    if share < RISK {
        let line = format!("the oldest unread record has {} of the retention", percent(share));
        return Outcome::Healthy(line);
    }
    let lost = share >= EXPIRED;
    let reason = if lost {
        "The oldest unread record is as old as the retention: records expire unread, now."
    } else {
        "The oldest unread record has more than half of the retention behind it."
    };
    let mut finding =
        Finding::new(if lost { Severity::Critical } else { Severity::Warning }, reading.subject(), reason)
            .evidence(
                Evidence::point(reading.metric, Point(reading.lag.at, reading.lag.age_seconds), "seconds")
                    .threshold(RISK * retention),
            )
            .arithmetic(format!("{} of {}: {}", duration(reading.lag.age_seconds), duration(retention), percent(share)))
            .remedies(longer_retention(history));
    if let Some(left) = reading.lag.seconds_to_loss {
        finding = finding.arithmetic(format!("at this growth, records are lost in {}", duration(left)));
    }
    Outcome::Findings(vec![finding])
}

/// The stop-gap.
fn longer_retention(history: &History) -> Option<Remedy> {
    let stream = history.stream.as_ref()?;
    let hours = stream
        .retention_hours
        .saturating_mul(2)
        .clamp(48, WEEK_HOURS.max(stream.retention_hours.saturating_mul(2)))
        .min(8_760);
    let command =
        Command::aws(history, "kinesis increase-stream-retention-period").option("--stream-name", &stream.name);
    let price = extended_retention_of_a_shard() * stream.shards.len().max(1) as f64;
    Some(
        Remedy::new(
            command.option("--retention-period-hours", hours.to_string()).build(),
            "At once: keeps the records that have not expired. A stop-gap, not a cure.",
            format!("{} for {}; beyond 7 days by the GB", dollars(price), counted(stream.shards.len().max(1), "shard")),
        )
        .breaks("Nothing. Raise alarms at half of the retention with it."),
    )
}

/// Whether hosts found records expired.
pub(super) fn expired_records(history: &History) -> Outcome {
    let expired = history.select(Namespace::Host, "paceline_expired_hours").statistic(Statistic::Value);
    if !history.observes(Namespace::Host) {
        return Outcome::NotChecked(not_known(history, HOST, "no running host was asked for its metrics"));
    }
    if expired.is_empty() {
        return Outcome::NotChecked(NO_SERIES.to_owned());
    }
    let hours = expired.sum();
    let Some(last) = hours.last().filter(|point| point.1 > 0.0) else {
        return Outcome::Healthy("no record expired before it was read".to_owned());
    };
    let finding = Finding::new(
        Severity::Critical,
        "running hosts",
        "Records expired before they were read. They are lost to this consumer; their senders or an archive may have \
         them.",
    )
    .evidence(Evidence::point("paceline_expired_hours", last, "hours of records").threshold(0.0))
    .remedies(longer_retention(history));
    Outcome::Findings(vec![finding])
}
