//! How the event source mapping is set.

use super::events::events;
use super::facts::{FUNCTION, mappings, not_known};
use crate::command::Command;
use crate::finding::{Evidence, Finding, Outcome, Remedy, Severity};
use crate::history::{Function, History, Mapping, Namespace, Statistic};
use crate::words::counted;

/// The findings of each mapping that reads.
pub(super) fn of_mappings(
    history: &History,
    healthy: &str,
    find: impl Fn(&Function, &Mapping) -> Option<Finding>,
) -> Outcome {
    if mappings(history).next().is_none() {
        let missing = if history.function.is_some() { "no mapping is enabled" } else { "no function reads the stream" };
        return Outcome::NotChecked(not_known(history, FUNCTION, missing));
    }
    let findings = mappings(history).filter_map(|(function, mapping)| find(function, mapping));
    Outcome::of(findings.collect(), healthy)
}

/// The function, and which of its mappings if it has several.
pub(super) fn subject(function: &Function, mapping: &Mapping) -> String {
    match function.mappings.len() {
        1 => format!("function {}", function.name),
        _ => format!("function {}, mapping {}", function.name, mapping.id),
    }
}

/// `aws lambda update-event-source-mapping`.
pub(super) fn update_mapping(history: &History, mapping: &Mapping) -> Command {
    Command::aws(history, "lambda update-event-source-mapping").option("--uuid", &mapping.id)
}

/// Whether Lambda dropped events.
pub(super) fn dropped_events(history: &History) -> Outcome {
    let counted_events = |name| history.select(Namespace::Lambda, name).statistic(Statistic::Sum).sum();
    let dropped = counted_events("DroppedEventCount");
    if mappings(history).all(|(_, mapping)| !mapping.counts_events) && dropped.points.is_empty() {
        let missing = match history.function {
            Some(_) => "no mapping counts its events: see event-count",
            None => "no function reads the stream",
        };
        return Outcome::NotChecked(not_known(history, FUNCTION, missing));
    }
    let Some(seen) = events(history, &dropped) else {
        return Outcome::Healthy("no event was dropped".to_owned());
    };
    let delivered = counted_events("OnFailureDestinationDeliveredEventCount").total();
    let name = history.function.as_ref().map_or("", |function| function.name.as_str());
    let again = read_again(history);
    let reason = match again {
        Some(_) => {
            "Lambda dropped events: their retries or their age were used up. Read their records again before they \
             expire, by the positions in the on-failure destination."
        }
        None => {
            "Lambda dropped events: their retries or their age were used up. There is no on-failure destination, so \
             nothing has their positions: their records are in the stream until they expire."
        }
    };
    let finding = Finding::new(Severity::Critical, format!("function {name}"), reason)
        .evidence(Evidence::point("DroppedEventCount", seen.peak, "events a period").threshold(0.0))
        .evidence(Evidence::new("DroppedEventCount, in all", seen.total, "events"))
        .evidence(Evidence::new("OnFailureDestinationDeliveredEventCount, in all", delivered, "events"))
        .remedies(again)
        .remedies(mappings(history).map(|(_, mapping)| {
            Remedy::new(
                update_mapping(history, mapping)
                    .word(
                        "--maximum-retry-attempts -1 --maximum-record-age-in-seconds \
                                                       -1",
                    )
                    .build(),
                "Lambda repeats a batch until it succeeds or its records expire.",
                "the repeated invocations",
            )
            .breaks(
                "A batch that can never succeed holds its shard until then. paceline's function answers with the \
                     first record that failed, and invalid records become dead letters, so that this is an outage, \
                     not a record.",
            )
        }));
    // What is dropped stays dropped.
    Outcome::Findings(vec![finding])
}

/// Processes what was dropped, if its positions or its records went somewhere.
fn read_again(history: &History) -> Option<Remedy> {
    let destination = mappings(history).find_map(|(_, mapping)| mapping.on_failure.as_deref());
    let queue = history.dead_letters.as_ref().and_then(|letters| letters.queue.as_ref());
    let command = Command::paceline(history, "dead-letters reprocess");
    let (command, effect) = match (queue, destination) {
        (Some(queue), _) => (
            command.option("--queue", &queue.url),
            "Reads the dropped batches from the stream again and processes them.",
        ),
        (None, Some(bucket)) if bucket.contains(":s3:") => (
            command.option("--from", "object.json"),
            "Processes the records of the bucket's objects: object.json is such an object, there may be several.",
        ),
        (None, Some(topic)) if topic.contains(":sns:") => (
            command.option("--queue", "QUEUE-URL"),
            "Reads the dropped batches from the stream again and processes them. QUEUE-URL is a queue that subscribes \
             to the topic.",
        ),
        (None, Some(_)) => (
            command.option("--queue", "QUEUE-URL"),
            "Reads the dropped batches from the stream again and processes them. QUEUE-URL is that of the destination.",
        ),
        (None, None) => return None,
    };
    Some(reprocess(command, effect))
}

/// `paceline dead-letters reprocess`.
pub(super) fn reprocess(command: Command, effect: &str) -> Remedy {
    Remedy::new(command.build(), effect, "the writes of these records")
        .breaks("Nothing: no record is folded twice. Those that may be in their groups already are left alone.")
}

/// Whether a mapping counts its events.
pub(super) fn event_count(history: &History) -> Outcome {
    of_mappings(history, "the mapping counts its events", |function, mapping| {
        let reason = "The mapping does not count its events, so nothing shows whether Lambda dropped some.";
        let command = update_mapping(history, mapping).option("--metrics-config", r#"{"Metrics":["EventCount"]}"#);
        (!mapping.counts_events).then(|| {
            Finding::new(Severity::Note, subject(function, mapping), reason).remedy(Remedy::new(
                command.build(),
                "Adds PolledEventCount, InvokedEventCount, DroppedEventCount and others.",
                "about $2 for six metrics",
            ))
        })
    })
}

/// Whether the positions of what is dropped go somewhere.
pub(super) fn failure_destination(history: &History) -> Outcome {
    of_mappings(history, "positions of dropped batches are kept", |function, mapping| {
        let limited = mapping.retries.is_some() || mapping.max_age_seconds.is_some();
        if mapping.on_failure.is_some() {
            return None;
        }
        let (severity, reason) = if limited {
            (
                Severity::Warning,
                "Retries or age are limited and there is no on-failure destination: a batch that is dropped leaves \
                 no trace.",
            )
        } else {
            (
                Severity::Note,
                "There is no on-failure destination. None is needed while retries and age are unlimited; with a \
                 limit, a dropped batch would leave no trace.",
            )
        };
        let destination = r#"{"OnFailure":{"Destination":"QUEUE-ARN"}}"#;
        Some(
            Finding::new(severity, subject(function, mapping), reason).remedy(
                Remedy::new(
                    update_mapping(history, mapping).option("--destination-config", destination).build(),
                    "The position of a dropped batch goes to the queue QUEUE-ARN. Its records stay in the stream \
                     until they expire.",
                    "next to nothing",
                )
                .breaks("The function's role needs sqs:SendMessage on the queue."),
            ),
        )
    })
}

/// Whether a batch can hold its shard until its records expire.
pub(super) fn unlimited_retries(history: &History) -> Outcome {
    of_mappings(history, "retries or age of a batch are limited", |function, mapping| {
        if mapping.retries.is_some() || mapping.max_age_seconds.is_some() {
            return None;
        }
        let guarded = mapping.reports_failures && mapping.bisect;
        let (severity, reason) = if guarded {
            (
                Severity::Note,
                "Retries and age are unlimited: a batch that cannot succeed holds its shard until its records \
                 expire. That is right for paceline, whose invalid records become dead letters, with an alarm on the \
                 age.",
            )
        } else {
            (
                Severity::Warning,
                "Retries and age are unlimited, and a failed batch is repeated as a whole: one bad record \
                holds its shard until it expires.",
            )
        };
        let age = "--maximum-record-age-in-seconds 3600";
        let mut finding = Finding::new(severity, subject(function, mapping), reason);
        if !guarded {
            finding = finding.remedy(report_failures(history, mapping));
        }
        Some(
            finding.remedy(
                Remedy::new(
                    update_mapping(history, mapping).word(age).build(),
                    "A batch is dropped after an hour, and its shard goes on.",
                    "nothing",
                )
                .breaks(
                    "In an outage of an hour, records are dropped although they are good. Only with an on-failure \
                     destination.",
                ),
            ),
        )
    })
}

fn report_failures(history: &History, mapping: &Mapping) -> Remedy {
    let command = update_mapping(history, mapping).word("--function-response-types ReportBatchItemFailures");
    Remedy::new(
        command.word("--bisect-batch-on-function-error").build(),
        "Only the records from the first that failed on come again, and without an answer the batch is halved.",
        "less, by fewer repeated records",
    )
    .breaks("The function must answer with batchItemFailures, as paceline's does.")
}

/// Whether the function's answer counts.
pub(super) fn partial_batch_responses(history: &History) -> Outcome {
    of_mappings(history, "the function may report the records that failed", |function, mapping| {
        if mapping.reports_failures {
            return None;
        }
        let is_paceline = history.observes(Namespace::Function);
        let (severity, reason) = if is_paceline {
            (
                Severity::Critical,
                "The mapping lacks ReportBatchItemFailures, so Lambda ignores what the function answers. \
                Records that it reports as not committed are taken as done, and are lost.",
            )
        } else {
            (Severity::Warning, "The mapping lacks ReportBatchItemFailures: a batch succeeds or fails as a whole.")
        };
        Some(Finding::new(severity, subject(function, mapping), reason).remedy(report_failures(history, mapping)))
    })
}

/// Whether the mapping reads.
pub(super) fn mapping_state(history: &History) -> Outcome {
    let Some(function) = &history.function else {
        return Outcome::NotChecked(not_known(history, FUNCTION, "no function reads the stream"));
    };
    let mut findings = Vec::new();
    let nobody_reads = function.mappings.iter().all(|mapping| !mapping.is_enabled());
    for mapping in &function.mappings {
        let enable = Remedy::new(
            update_mapping(history, mapping).word("--enabled").build(),
            "The mapping reads on where it stopped.",
            "what the invocations cost",
        );
        if !mapping.is_enabled() {
            let severity = if nobody_reads { Severity::Critical } else { Severity::Note };
            let reason = format!("The mapping is {}: it does not read.", mapping.state);
            findings.push(Finding::new(severity, subject(function, mapping), reason).remedy(enable));
        } else if let Some(result) = mapping.last_result.as_ref().filter(|it| it.starts_with("PROBLEM")) {
            let reason = format!("The mapping's last result is \"{result}\".");
            let show = Command::aws(history, "lambda get-event-source-mapping").option("--uuid", &mapping.id).build();
            findings.push(Finding::new(Severity::Warning, subject(function, mapping), reason).remedy(Remedy::new(
                show,
                "Shows the mapping with its last result.",
                "nothing",
            )));
        }
    }
    Outcome::of(findings, format!("{} enabled", counted(function.mappings.len(), "mapping")))
}
