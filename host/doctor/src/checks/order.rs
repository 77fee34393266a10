//! Settings of the mapping that decide which records come, how many at once, and in which order.

use paceline_capacity::lambda::{BATCH_RECORDS, PAYLOAD_BYTES, records_of_an_event};

use super::facts::{COUNTS, FUNCTION, arrivals, mappings, not_known, packed, records_of_a_record};
use super::mapping::{of_mappings, subject, update_mapping};
use crate::command::{Command, stream_arn};
use crate::finding::{Evidence, Finding, Outcome, Remedy, Severity};
use crate::history::History;
use crate::words::{bytes, counted, number};

/// Bytes of a record's key in what the stream counts, about.
const KEY_BYTES: f64 = 8.0;

/// Whether records that arrive while the mapping changes can be missed.
pub(super) fn starting_position(history: &History) -> Outcome {
    if mappings(history).all(|(_, mapping)| mapping.starting_position.is_none()) {
        let missing = match history.function {
            Some(_) => "the mapping's starting position is not known",
            None => "no function reads the stream",
        };
        return Outcome::NotChecked(not_known(history, FUNCTION, missing));
    }
    of_mappings(history, "the mapping began with the oldest record, or at a time", |function, mapping| {
        if mapping.starting_position.as_deref() != Some("LATEST") {
            return None;
        }
        let reason = "The mapping begins with LATEST. While it is created or changed, which takes minutes, it may miss \
                      records.";
        let create = Command::aws(history, "lambda create-event-source-mapping")
            .option("--function-name", &function.name)
            .option("--event-source-arn", stream_arn(history))
            .option("--batch-size", mapping.batch_size.to_string())
            .word("--starting-position TRIM_HORIZON --function-response-types ReportBatchItemFailures");
        Some(Finding::new(Severity::Warning, subject(function, mapping), reason).remedy(
            Remedy::new(create.build(), "A mapping that misses nothing. Delete the old one first.", "nothing").breaks(
                "It begins with the oldest record of the stream: what was processed comes again, and dedup drops it. A \
                 position cannot be changed.",
            ),
        ))
    })
}

/// Whether a batch can have as many records as it may.
pub(super) fn batch_size(history: &History) -> Outcome {
    let Some(size) = arrivals(history).and_then(|it| it.record_bytes()) else {
        return Outcome::NotChecked(not_known(history, FUNCTION, "no data of IncomingBytes"));
    };
    let payload = (size - KEY_BYTES).clamp(1.0, PAYLOAD_BYTES as f64);
    let most = records_of_an_event(payload as u64);
    of_mappings(history, &format!("{} fit into an event", counted(most as usize, "record")), |function, mapping| {
        if mapping.batch_size <= most {
            return None;
        }
        let reason = "The batch size cannot be reached: an event has at most 6 MB, and records are Base64 with their \
                      metadata in it.";
        let highest = most.min(BATCH_RECORDS);
        Some(
            Finding::new(Severity::Note, subject(function, mapping), reason)
                .evidence(
                    Evidence::new("batch size", f64::from(mapping.batch_size), "records").threshold(f64::from(most)),
                )
                .arithmetic(format!(
                    "{} of JSON ÷ ~{} for a record of {}: {} records",
                    bytes(PAYLOAD_BYTES as f64),
                    bytes(PAYLOAD_BYTES as f64 / f64::from(most)),
                    bytes(size),
                    number(f64::from(most))
                ))
                .remedy(Remedy::new(
                    update_mapping(history, mapping).option("--batch-size", highest.to_string()).build(),
                    "Nothing but that the setting shows what happens. Packed records carry more in an event.",
                    "nothing",
                )),
        )
    })
}

/// Whether packed records are read with a parallelization factor.
pub(super) fn packing_and_parallelization(history: &History) -> Outcome {
    let Some(ratio) = packed(history) else {
        if records_of_a_record(history).is_some() {
            return of_mappings(history, "producers do not pack records", |_, _| None);
        }
        if mappings(history).any(|(_, mapping)| mapping.parallelization_factor > 1) {
            let missing = "nothing has counted records, so it is not known whether producers pack them";
            return Outcome::NotChecked(not_known(history, COUNTS, missing));
        }
        return of_mappings(history, "packed records, if there are any, are read at factor 1", |_, _| None);
    };
    of_mappings(history, "packed records are read at factor 1", |function, mapping| {
        if mapping.parallelization_factor == 1 {
            return None;
        }
        let reason = "Packing and a parallelization factor above 1 exclude each other: Lambda distributes records by \
                      the key of the aggregate, not by those in it, so records of one key are processed at once and \
                      out of order.";
        Some(
            Finding::new(Severity::Warning, subject(function, mapping), reason)
                .evidence(Evidence::new("records in a record of the stream", ratio, "").threshold(2.0))
                .evidence(
                    Evidence::new("parallelization factor", f64::from(mapping.parallelization_factor), "")
                        .threshold(1.0),
                )
                .remedy(
                    Remedy::new(
                        update_mapping(history, mapping).word("--parallelization-factor 1").build(),
                        "Records of a key come in order again.",
                        "nothing",
                    )
                    .breaks("Less at once. Packed records need fewer shards by count; add shards for concurrency."),
                ),
        )
    })
}

/// Whether sequence dedup can drop records that are new.
pub(super) fn sequence_dedup(history: &History) -> Outcome {
    let Some(rules) = &history.rules else {
        return Outcome::NotChecked(not_known(history, &["rules"], "the rules are not known"));
    };
    let by_sequence: Vec<&str> = rules
        .race_types
        .iter()
        .filter(|(_, race_type)| race_type.dedups.iter().any(|dedup| dedup == "sequence"))
        .map(|(name, _)| name.as_str())
        .collect();
    if by_sequence.is_empty() {
        return Outcome::Healthy("no race type has dedup by sequence".to_owned());
    }
    of_mappings(history, "dedup by sequence is right at factor 1", |function, mapping| {
        if mapping.parallelization_factor == 1 {
            return None;
        }
        let reason = format!(
            "Dedup of race type {} is by sequence, and the mapping has a parallelization factor above 1. With random \
             partition keys, records of a group overtake each other, and the late ones are dropped as duplicates.",
            by_sequence.join(", ")
        );
        Some(
            Finding::new(Severity::Warning, subject(function, mapping), reason)
                .evidence(
                    Evidence::new("parallelization factor", f64::from(mapping.parallelization_factor), "")
                        .threshold(1.0),
                )
                .remedy(
                    Remedy::new(
                        update_mapping(history, mapping).word("--parallelization-factor 1").build(),
                        "Records of a shard come in order.",
                        "nothing",
                    )
                    .breaks(
                        "Less at once. Instead, publish a rulebook with dedup by ordinal, which is right under \
                             any key; or send all records of a group under one key, where nothing needs to change.",
                    ),
                ),
        )
    })
}
