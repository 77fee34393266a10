//! What readers get from the stream, apart from how far behind they are.

use paceline_capacity::kinesis::{SHARD_READ_BYTES_PER_SECOND, SHARD_READS_PER_SECOND};

use super::events::{Events, events, span_above};
use super::facts::{METRICS, STREAM, growth_of_hosts, mappings, not_known, of_stream, open_shards, recent_part};
use crate::command::{Command, stream_arn};
use crate::finding::{Evidence, Finding, Outcome, Remedy, Severity};
use crate::history::{History, Namespace, Point, Statistic, Stream};
use crate::prices::{consumer_gb, consumer_of_a_shard};
use crate::words::{counted, dollars, number};

/// Seconds by which each polling reader delays the others, about: they share five reads a second.
const DELAY_OF_A_READER: f64 = 0.2;
/// Polling readers of a shard from which on their delay is worth a note.
const MANY_READERS: f64 = 3.0;
/// Milliseconds behind from which on a fan-out consumer is late.
const FAN_OUT_LATE_MS: f64 = 10_000.0;

/// Whether the stream throttles reads.
pub(super) fn reads_throttled(history: &History) -> Outcome {
    let throttled = of_stream(history, "ReadProvisionedThroughputExceeded", Statistic::Sum);
    let by_hosts = history.select(Namespace::Host, "paceline_stream_throttles_total").increases();
    if throttled.points.is_empty() && by_hosts.points.is_empty() {
        return Outcome::NotChecked(not_known(history, METRICS, "no data of ReadProvisionedThroughputExceeded"));
    }
    let (name, seen) = match events(history, &throttled) {
        Some(seen) => ("ReadProvisionedThroughputExceeded", Some(seen)),
        None => ("paceline_stream_throttles_total", events(history, &by_hosts)),
    };
    let Some(seen) = seen else {
        return Outcome::Healthy("no read is throttled".to_owned());
    };
    let stream = history.stream.as_ref();
    let finding = Finding::new(
        Severity::Warning,
        stream.map_or_else(|| "the stream".to_owned(), |it| format!("stream {}", it.name)),
        "Reads are throttled. All polling readers of a shard share 5 reads and 2 MB a second: each mapping, \
         Firehose, a replay, and the KCL are one each.",
    )
    .evidence(Evidence::point(name, seen.peak, "reads a period").threshold(0.0))
    .evidences(
        polls(history).map(|it| Evidence::new("reads of a shard", it, "a second").threshold(SHARD_READS_PER_SECOND)),
    )
    .arithmetic(format!(
        "{} reads and {} MB a second for each shard, however many readers it has",
        number(SHARD_READS_PER_SECOND),
        number(SHARD_READ_BYTES_PER_SECOND / 1_048_576.0)
    ))
    .remedies(stream.map(|stream| fan_out_remedy(history, stream)))
    .ongoing(seen.ongoing)
    .during(seen.span);
    Outcome::Findings(vec![finding])
}

/// Reads a second of each shard, on average.
fn polls(history: &History) -> Option<f64> {
    let reads = of_stream(history, "GetRecords.Success", Statistic::SampleCount).per_second();
    let shards = history.stream.as_ref().map_or(1, open_shards) as f64;
    recent_part(history, &reads).average().map(|reads| reads / shards)
}

/// A fan-out consumer instead of polling.
fn fan_out_remedy(history: &History, stream: &Stream) -> Remedy {
    let arn = stream_arn(history);
    let command = Command::aws(history, "kinesis register-stream-consumer").option("--stream-arn", arn);
    let shards = open_shards(stream) as f64;
    Remedy::new(
        command.option("--consumer-name", "paceline").build(),
        "2 MB a second of each shard for this reader alone, and ~70 ms instead of 200 ms and more. Then make a \
         mapping of the consumer's ARN, or set consumer = \"fan-out\" in [source.kinesis].",
        format!(
            "{} for {}, and {} for each GB read",
            dollars(consumer_of_a_shard() * shards),
            counted(open_shards(stream), "shard"),
            dollars(consumer_gb())
        ),
    )
    .breaks(
        "A mapping's source cannot be changed: create the new one, AT_TIMESTAMP of a moment ago, and delete the \
             old one. In between, both read.",
    )
}

/// Whether reads fail.
pub(super) fn read_failures(history: &History) -> Outcome {
    let success = of_stream(history, "GetRecords.Success", Statistic::Average);
    if success.points.is_empty() {
        return Outcome::NotChecked(not_known(history, METRICS, "no data of GetRecords.Success"));
    }
    let Some(Point(at, lowest)) = success.trough().filter(|point| point.1 < 0.9995) else {
        return Outcome::Healthy("all reads succeed".to_owned());
    };
    let ongoing = recent_part(history, &success).trough().is_some_and(|point| point.1 < 0.9995);
    let name = history.stream.as_ref().map_or("of the history", |stream| stream.name.as_str());
    let finding = Finding::new(
        Severity::Warning,
        format!("readers of stream {name}"),
        "Reads of the stream fail: a reader lacks a permission or a key, or the service fails. Throttled reads are \
         failures, too.",
    )
    .evidence(
        Evidence::point("GetRecords.Success", Point(at, lowest * 100.0), "% of reads at the lowest").threshold(100.0),
    )
    .remedy(Remedy::new(
        Command::aws(history, "kinesis describe-stream-summary").option("--stream-name", name).build(),
        "Shows status and key of the stream. A reader's log has the error.",
        "nothing",
    ))
    .ongoing(ongoing)
    .during(span_above(history, &success.map(|share| 1.0 - share), 0.0005));
    Outcome::Findings(vec![finding])
}

/// Whether many readers poll, each of which delays the others.
pub(super) fn read_latency(history: &History) -> Outcome {
    let (Some(stream), Some(polls)) = (&history.stream, polls(history)) else {
        return Outcome::NotChecked(not_known(history, STREAM, "no data of GetRecords.Success"));
    };
    let delay = DELAY_OF_A_READER * polls;
    if polls < MANY_READERS {
        return Outcome::Healthy(format!("reads of a shard: {} a second", number(polls)));
    }
    let severity = if polls >= SHARD_READS_PER_SECOND - 0.5 { Severity::Warning } else { Severity::Note };
    let finding = Finding::new(
        severity,
        format!("stream {}", stream.name),
        "Several readers poll the same shards. Each gets its turn: about 200 ms later for each of them, up to a \
         second.",
    )
    .evidence(
        Evidence::new("GetRecords.Success, samples", polls, "reads a second and shard")
            .threshold(SHARD_READS_PER_SECOND),
    )
    .arithmetic(format!("~{} readers × 200 ms: ~{} s", number(polls.round()), number(delay)))
    .remedy(fan_out_remedy(history, stream))
    .remedy(Remedy::new(
        Command::aws(history, "lambda list-event-source-mappings")
            .option("--event-source-arn", stream_arn(history))
            .build(),
        "Shows the mappings that poll the stream. Remove those that nobody needs; Firehose polls, too.",
        "nothing",
    ));
    Outcome::Findings(vec![finding])
}

/// Whether fan-out consumers are late or rejected.
pub(super) fn fan_out(history: &History) -> Outcome {
    let late =
        history.select(Namespace::Kinesis, "SubscribeToShardEvent.MillisBehindLatest").statistic(Statistic::Maximum);
    let refused = of_consumers(history, "SubscribeToShard.RateExceeded");
    let consumers = history.stream.as_ref().map(|stream| stream.consumers.as_slice()).unwrap_or_default();
    if late.is_empty() && consumers.is_empty() {
        return match history.stream {
            Some(_) => Outcome::Healthy("no fan-out consumers are registered".to_owned()),
            None => Outcome::NotChecked(not_known(history, STREAM, "the stream's consumers are not known")),
        };
    }
    let mut findings = Vec::new();
    for (name, series) in late.by("ConsumerName") {
        let recent = recent_part(history, &series.highest());
        let Some(last) = recent.last().filter(|point| point.1 > FAN_OUT_LATE_MS) else { continue };
        let reason = "A fan-out consumer is behind. It has 2 MB a second of each shard for itself, so it is the \
                      consumer that is slow, not the stream.";
        findings.push(
            Finding::new(Severity::Warning, format!("fan-out consumer {name}"), reason)
                .evidence(
                    Evidence::point("SubscribeToShardEvent.MillisBehindLatest", last, "ms").threshold(FAN_OUT_LATE_MS),
                )
                .remedy(show_consumer(history, name)),
        );
    }
    for (name, seen) in refused {
        findings.push(
            Finding::new(
                Severity::Warning,
                format!("fan-out consumer {name}"),
                "Subscriptions are rejected: more than one a second for a shard, or two readers under one name take \
                 the shards from each other.",
            )
            .evidence(Evidence::point("SubscribeToShard.RateExceeded", seen.peak, "requests a period").threshold(0.0))
            .remedy(show_consumer(history, &name))
            .ongoing(seen.ongoing)
            .during(seen.span),
        );
    }
    findings.extend(consumers.iter().filter(|consumer| consumer.status != "ACTIVE").map(|consumer| {
        let reason = format!("A fan-out consumer is {} and gets no records.", consumer.status);
        Finding::new(Severity::Warning, format!("fan-out consumer {}", consumer.name), reason)
            .remedy(show_consumer(history, &consumer.name))
    }));
    Outcome::of(findings, format!("{} without delay", counted(consumers.len().max(1), "fan-out consumer")))
}

/// What was counted of each consumer, if anything.
fn of_consumers(history: &History, name: &str) -> Vec<(String, Events)> {
    let series = history.select(Namespace::Kinesis, name).statistic(Statistic::Sum);
    let seen = series.by("ConsumerName").into_iter();
    seen.filter_map(|(name, series)| Some((name.to_owned(), events(history, &series.sum())?))).collect()
}

/// Shows a fan-out consumer.
pub(super) fn show_consumer(history: &History, consumer: &str) -> Remedy {
    let arn = stream_arn(history);
    let command = Command::aws(history, "kinesis describe-stream-consumer").option("--stream-arn", arn);
    Remedy::new(
        command.option("--consumer-name", consumer).build(),
        "Shows the consumer. Run one reader under a name; a slow reader needs what iterator-age names.",
        "nothing",
    )
}

/// Whether two hosts take a fan-out consumer's shards from each other.
pub(super) fn subscription_conflicts(history: &History) -> Outcome {
    let conflicts = match growth_of_hosts(history, "paceline_subscription_conflicts_total") {
        Ok(conflicts) => conflicts,
        Err(outcome) => return outcome,
    };
    let Some(seen) = events(history, &conflicts) else {
        return Outcome::Healthy("no two readers share a consumer's name".to_owned());
    };
    let finding = Finding::new(
        Severity::Warning,
        "running hosts",
        "Two readers use the same consumer-name. Kinesis gives a shard to whoever subscribes last, so both are late \
         and do the same work.",
    )
    .evidence(Evidence::point("paceline_subscription_conflicts_total", seen.peak, "more").threshold(0.0))
    .remedy(Remedy::new(
        Command::paceline(history, "healthcheck").build(),
        "Shows whether this host reads its shards. Stop the other reader, or give it another consumer-name in \
         [source.kinesis].",
        "nothing for one reader less; a second consumer is billed by the hour",
    ))
    .ongoing(seen.ongoing)
    .during(seen.span);
    Outcome::Findings(vec![finding])
}

/// Whether two mappings read the stream for the same function.
pub(super) fn two_mappings(history: &History) -> Outcome {
    let Some(function) = &history.function else {
        return Outcome::NotChecked(not_known(history, &["function"], "no function reads the stream"));
    };
    let all: Vec<_> = mappings(history).map(|(_, mapping)| mapping).collect();
    let [first, others @ ..] = all.as_slice() else {
        return Outcome::Healthy("no mapping is enabled".to_owned());
    };
    if others.is_empty() {
        return Outcome::Healthy("one mapping reads the stream".to_owned());
    }
    let delete = |id: &str| Command::aws(history, "lambda delete-event-source-mapping").option("--uuid", id).build();
    let finding = Finding::new(
        Severity::Warning,
        format!("function {}", function.name),
        format!(
            "{} of the stream invoke the function, so it gets each record {} times. Dedup drops the copies, at twice \
             the cost and with conflicts between the writers.",
            counted(all.len(), "mapping"),
            all.len()
        ),
    )
    .evidence(Evidence::new("enabled mappings", all.len() as f64, "").threshold(1.0))
    .remedies(others.iter().map(|mapping| {
        Remedy::new(
            delete(&mapping.id),
            format!("Leaves {} alone. Delete the one that is further behind.", first.id),
            "less, by half of the invocations and writes",
        )
        .breaks(
            "A mapping that is deleted forgets its position. If the other one is behind, nothing is lost: it \
                 reads on.",
        )
    }));
    Outcome::Findings(vec![finding])
}
