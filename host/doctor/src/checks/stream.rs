//! What producers get from the stream.

use paceline_capacity::kinesis::{SHARD_BYTES_PER_SECOND, SHARD_RECORDS_PER_SECOND};

use super::events::events;
use super::facts::{METRICS, STREAM, arrivals, not_known, of_stream, open_shards, packed};
use crate::command::{Command, aggregating_producer, update_shard_count};
use crate::finding::{Evidence, Finding, Outcome, Remedy, Severity};
use crate::history::{Course, History, Namespace, Point, Shard, Statistic, Stream, StreamMode};
use crate::prices::{shard_metric, shard_month};
use crate::words::{bytes, counted, dollars, number, percent};

/// The share of a shard's limits from which on it is nearly full.
const NEARLY_FULL: f64 = 0.8;
/// Bytes of an aggregate that producers of the Kinesis Producer Library fill.
const AGGREGATE_BYTES: f64 = 51_200.0;
/// How much more than its part of the hash keys a shard may get.
const HOT: f64 = 1.5;

/// Whether the stream rejects records.
pub(super) fn producer_throttled(history: &History) -> Outcome {
    let rejected = of_stream(history, "WriteProvisionedThroughputExceeded", Statistic::Sum);
    let entries = of_stream(history, "PutRecords.ThrottledRecords", Statistic::Sum);
    if rejected.points.is_empty() && entries.points.is_empty() {
        return Outcome::NotChecked(not_known(history, METRICS, "no data of WriteProvisionedThroughputExceeded"));
    }
    let Some(stream) = &history.stream else {
        return Outcome::NotChecked(not_known(history, STREAM, "the stream's settings are not known"));
    };
    let (name, seen) = match events(history, &rejected) {
        Some(seen) => ("WriteProvisionedThroughputExceeded", Some(seen)),
        None => ("PutRecords.ThrottledRecords", events(history, &entries)),
    };
    let Some(seen) = seen else {
        return Outcome::Healthy("the stream accepts all records".to_owned());
    };
    let reason = "The stream rejects records. A producer that does not retry the rejected entries of its requests \
                  loses them.";
    let severity = Severity::Critical;
    let finding = Finding::new(severity, format!("stream {}", stream.name), reason)
        .evidence(Evidence::point(name, seen.peak, "records a period").threshold(0.0))
        .evidence(Evidence::new(format!("{name}, in all"), seen.total, "records"))
        .remedies(more_room(history, stream))
        .remedy(Remedy::new(
            aggregating_producer(history, stream),
            "A producer that retries what is rejected: PutRecords names those entries by FailedRecordCount (that of \
             Firehose is FailedPutCount).",
            "nothing",
        ))
        .ongoing(seen.ongoing)
        .during(seen.span);
    Outcome::Findings(vec![finding])
}

/// The remedies of a full stream.
fn more_room(history: &History, stream: &Stream) -> Vec<Remedy> {
    let shards = open_shards(stream);
    let pack = Remedy::new(
        aggregating_producer(history, stream),
        "The producer packs messages into aggregates of the KPL, as this one does: hundreds of messages are one \
         record.",
        "less, by fewer PUT payload units",
    )
    .breaks("A message waits until its aggregate is full or 100 ms old. Excludes a parallelization factor above 1.");
    let reshard = Remedy::new(
        update_shard_count(history, stream, shards * 2),
        format!("Twice the records and bytes a second: {} instead of {shards}.", counted(shards * 2, "shard")),
        format!("{} more ({} a shard)", dollars(shard_month() * shards as f64), dollars(shard_month())),
    )
    .breaks(
        "Spreads load only if partition keys spread. At most 10 changes in 24 hours; readers follow by themselves.",
    );
    match stream.mode {
        StreamMode::Provisioned if packed(history).is_none() => vec![pack, reshard],
        StreamMode::Provisioned => vec![reshard],
        StreamMode::OnDemand => vec![pack],
    }
}

/// Whether a shard is nearly full, by records or by bytes.
pub(super) fn shard_full(history: &History) -> Outcome {
    let (Some(stream), Some(arrivals)) = (&history.stream, arrivals(history)) else {
        return Outcome::NotChecked(not_known(history, STREAM, "no data of IncomingRecords"));
    };
    if stream.mode == StreamMode::OnDemand {
        return Outcome::Healthy("Kinesis scales the stream on demand".to_owned());
    }
    let shards = open_shards(stream) as f64;
    let records_limit = shards * SHARD_RECORDS_PER_SECOND;
    let bytes_limit = shards * SHARD_BYTES_PER_SECOND;
    let Point(at, records) = arrivals.peak();
    let bytes_peak = arrivals.bytes.peak().map_or(0.0, |point| point.1);
    let (by_count, by_bytes) = (records / records_limit, bytes_peak / bytes_limit);
    let load = format!("{} by count, {} by bytes", percent(by_count), percent(by_bytes));
    if by_count.max(by_bytes) < NEARLY_FULL {
        return Outcome::Healthy(format!(
            "{} at most {load}",
            if shards == 1.0 { "the shard is" } else { "shards are" }
        ));
    }
    let limit = if by_count >= by_bytes { "count" } else { "bytes" };
    let mut finding = Finding::new(
        Severity::Warning,
        format!("stream {}", stream.name),
        format!(
            "The stream is nearly full by {limit}: {} {} at most {} records a second and {} MB a second.",
            counted(open_shards(stream), "shard"),
            if shards == 1.0 { "takes" } else { "take" },
            number(records_limit),
            number(shards)
        ),
    )
    .evidence(Evidence::point("IncomingRecords", Point(at, records), "records a second").threshold(records_limit))
    .evidence(Evidence::new("IncomingBytes", bytes_peak, "bytes a second").threshold(bytes_limit))
    .arithmetic(format!(
        "{} records/s on {} of {}: {} by count, {} by bytes",
        number(records),
        counted(open_shards(stream), "shard"),
        number(SHARD_RECORDS_PER_SECOND),
        percent(by_count),
        percent(by_bytes)
    ));
    if let Some(size) = arrivals.record_bytes().filter(|size| by_count > by_bytes && *size < AGGREGATE_BYTES / 2.0) {
        let messages = (AGGREGATE_BYTES / size).floor();
        finding = finding
            .arithmetic(format!(
                "packed, {} messages of {} in {}: ~{} records/s",
                number(messages),
                bytes(size),
                bytes(AGGREGATE_BYTES),
                number((records / messages).max(1.0).ceil())
            ))
            .arithmetic(format!(
                "one shard then takes ~{} messages/s, by bytes",
                number(SHARD_BYTES_PER_SECOND / size)
            ));
    }
    Outcome::Findings(vec![finding.remedies(more_room(history, stream))])
}

/// Whether requests of producers fail.
pub(super) fn producer_failures(history: &History) -> Outcome {
    let one = of_stream(history, "PutRecord.Success", Statistic::Average);
    let many = of_stream(history, "PutRecords.Success", Statistic::Average);
    let failed = of_stream(history, "PutRecords.FailedRecords", Statistic::Sum);
    if one.points.is_empty() && many.points.is_empty() && failed.points.is_empty() {
        return Outcome::NotChecked(not_known(history, METRICS, "no data of PutRecord.Success and PutRecords.Success"));
    }
    let mut evidence = Vec::new();
    for (name, course) in [("PutRecord.Success", &one), ("PutRecords.Success", &many)] {
        evidence.extend(failures(name, course));
    }
    let entries = events(history, &failed);
    evidence.extend(
        entries
            .iter()
            .map(|seen| Evidence::point("PutRecords.FailedRecords", seen.peak, "records a period").threshold(0.0)),
    );
    if evidence.is_empty() {
        return Outcome::Healthy("all requests of producers succeed".to_owned());
    }
    let name = history.stream.as_ref().map_or("of the history", |stream| stream.name.as_str());
    let finding = Finding::new(
        Severity::Warning,
        format!("producers of stream {name}"),
        "Requests of producers fail, or entries of them. PutRecords.Success counts a request as a success if at least \
         one of its records was accepted, so failed entries are counted, too.",
    )
    .evidences(evidence)
    .remedy(Remedy::new(
        Command::aws(history, "cloudtrail lookup-events")
            .word("--lookup-attributes AttributeKey=EventSource,AttributeValue=kinesis.amazonaws.com")
            .build(),
        "Shows who changed the stream lately. Which producer fails is in its own log: a producer has to check \
         FailedRecordCount and send the failed entries again.",
        "nothing",
    ));
    Outcome::Findings(vec![finding])
}

/// The lowest share of successes below 1.
fn failures(name: &str, course: &Course) -> Option<Evidence> {
    let lowest = course.trough().filter(|point| point.1 < 0.9995)?;
    Some(Evidence::point(name, Point(lowest.0, lowest.1 * 100.0), "% of requests at the lowest").threshold(100.0))
}

/// Whether one shard gets much more than its share.
pub(super) fn hot_shard(history: &History) -> Outcome {
    let Some(stream) = &history.stream else {
        return Outcome::NotChecked(not_known(history, STREAM, "the stream's settings are not known"));
    };
    if open_shards(stream) == 1 {
        return Outcome::Healthy("the stream has one shard".to_owned());
    }
    let by_shard = history.select(Namespace::Kinesis, "IncomingRecords").statistic(Statistic::Sum).by("ShardId");
    // Ended shards have records, but no share of the keys; of some open ones nothing may have been read.
    let open = stream.shards.iter().filter(|shard| shard.open && shard.share > 0.0);
    let read: Vec<(&Shard, Course)> =
        open.filter_map(|shard| Some((shard, by_shard.get(shard.id.as_str())?.sum().per_second()))).collect();
    if read.iter().all(|(_, course)| course.points.is_empty()) {
        return hidden_shards(history, stream);
    }
    let all: f64 = read.iter().map(|(_, course)| course.total()).sum();
    let all_share: f64 = read.iter().map(|(shard, _)| shard.share).sum();
    let is_part = read.len() < open_shards(stream);
    let of_read = if is_part { format!(" of {} shards", read.len()) } else { String::new() };
    let keys = if is_part { "their hash keys" } else { "the hash keys" };
    let mut findings = Vec::new();
    for (shard, course) in &read {
        let (part, Some(peak)) = (course.total() / all.max(1.0), course.peak()) else { continue };
        let share = shard.share / all_share;
        if part < HOT * share || peak.1 < SHARD_RECORDS_PER_SECOND * NEARLY_FULL / 2.0 {
            continue;
        }
        let severity =
            if peak.1 >= SHARD_RECORDS_PER_SECOND * NEARLY_FULL { Severity::Warning } else { Severity::Note };
        let reason = "One shard gets many more records than its share of the hash keys. More shards don't help if its \
                      records have few partition keys: spread the keys.";
        let command = update_shard_count(history, stream, open_shards(stream) * 2);
        findings.push(
            Finding::new(severity, format!("stream {}, {}", stream.name, shard.id), reason)
                .evidence(
                    Evidence::point("IncomingRecords", peak, "records a second").threshold(SHARD_RECORDS_PER_SECOND),
                )
                .arithmetic(format!("{} of the records{of_read} on {} of {keys}", percent(part), percent(share)))
                .remedy(
                    Remedy::new(
                        command,
                        "Halves the shard's range. It helps if several keys share the shard.",
                        format!("{} more", dollars(shard_month() * open_shards(stream) as f64)),
                    )
                    .breaks(
                        "Nothing, but one key alone stays in one shard: give its records different keys, and its \
                             groups ordinal dedup.",
                    ),
                ),
        );
    }
    let unread = match is_part {
        true => format!("; metrics of {} of {} were not read", open_shards(stream) - read.len(), open_shards(stream)),
        false => String::new(),
    };
    Outcome::of(findings, format!("records spread over the shards as their keys' ranges do{unread}"))
}

/// Without metrics by shard.
fn hidden_shards(history: &History, stream: &Stream) -> Outcome {
    let reason = format!(
        "metrics by shard are off, and averages of the stream hide a hot shard: {}",
        monitoring(history, stream).command
    );
    Outcome::NotChecked(reason)
}

/// Turns metrics by shard on.
pub(super) fn monitoring(history: &History, stream: &Stream) -> Remedy {
    let metrics = "--shard-level-metrics IncomingRecords IncomingBytes WriteProvisionedThroughputExceeded \
                   ReadProvisionedThroughputExceeded IteratorAgeMilliseconds";
    let command = Command::aws(history, "kinesis enable-enhanced-monitoring").option("--stream-name", &stream.name);
    Remedy::new(
        command.word(metrics).build(),
        "Metrics by shard show which one is full.",
        format!("about {} for five metrics of a shard", dollars(5.0 * shard_metric())),
    )
}

/// Whether records are rejected although the averages of a minute are below the limits.
pub(super) fn bursts(history: &History) -> Outcome {
    let (Some(stream), Some(arrivals)) = (&history.stream, arrivals(history)) else {
        return Outcome::NotChecked(not_known(history, STREAM, "no data of IncomingRecords"));
    };
    let rejected = of_stream(history, "WriteProvisionedThroughputExceeded", Statistic::Sum);
    let Some(seen) = events(history, &rejected) else {
        return Outcome::Healthy("no second was above the limits".to_owned());
    };
    let shards = open_shards(stream) as f64;
    let (records, bytes_a_second) = (arrivals.peak(), arrivals.bytes.peak().map_or(0.0, |point| point.1));
    let load =
        (records.1 / (shards * SHARD_RECORDS_PER_SECOND)).max(bytes_a_second / (shards * SHARD_BYTES_PER_SECOND));
    if load >= NEARLY_FULL {
        return Outcome::Healthy("the average of a minute itself is at the limits".to_owned());
    }
    let several = open_shards(stream) > 1;
    let reason = match several {
        true => {
            "Records are rejected although the average of a minute is below the limits. Limits hold for each second and \
             each shard: records come in bursts, or one shard is hot."
        }
        false => {
            "Records are rejected although the average of a minute is below the limits. Limits hold for each second: \
             records come in bursts."
        }
    };
    let finding = Finding::new(Severity::Warning, format!("stream {}", stream.name), reason)
        .evidence(
            Evidence::point("IncomingRecords", records, "records a second on average").threshold(shards * 1_000.0),
        )
        .evidence(Evidence::point("WriteProvisionedThroughputExceeded", seen.peak, "records a period").threshold(0.0))
        .arithmetic(format!(
            "{} records/s in a minute's average is {} records in one second, if all come at once",
            number(records.1),
            number(records.1 * records_period(&arrivals.records))
        ))
        .remedies(several.then(|| monitoring(history, stream)))
        .remedy(
            Remedy::new(
                aggregating_producer(history, stream),
                "A producer that stays within the limits of each shard by itself, and spreads a burst over time.",
                "nothing",
            )
            .breaks("Messages of a burst arrive later, by the time that the burst takes to pass."),
        )
        .ongoing(seen.ongoing)
        .during(seen.span);
    Outcome::Findings(vec![finding])
}

fn records_period(course: &Course) -> f64 {
    course.period_seconds
}
