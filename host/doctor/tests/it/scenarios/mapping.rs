//! The event source mapping.

use super::changes::*;
use super::{Scenario, of};
use crate::builder::*;

pub(super) const SCENARIOS: &[Scenario] = &[
    of("dropped-events", &["dropped-events", "failed-batches"], || {
        but(|it| {
            it.metric((Lambda, "DroppedEventCount"), MAPPING, Sum, |m| if m == 4 { 3_000.0 } else { 0.0 });
            it.metric((Lambda, "OnFailureDestinationDeliveredEventCount"), MAPPING, Sum, |m| {
                if m == 4 { 3_000.0 } else { 0.0 }
            });
            it.history.dead_letters.as_mut().unwrap().queue = Some(queue(3));
        })
    }),
    of("dropped-events-to-a-bucket", &["dropped-events"], || {
        but(|it| {
            it.metric((Lambda, "DroppedEventCount"), MAPPING, Sum, |m| if m == 4 { 3_000.0 } else { 0.0 });
            it.mapping().on_failure = Some("arn:aws:s3:::alleycat-failed".to_owned());
            it.history.dead_letters.as_mut().unwrap().queue = None;
        })
    }),
    of("dropped-events-without-trace", &["dropped-events", "failure-destination"], || {
        but(|it| {
            it.metric((Lambda, "DroppedEventCount"), MAPPING, Sum, |m| if m == 4 { 3_000.0 } else { 0.0 });
            it.mapping().on_failure = None;
            it.history.dead_letters.as_mut().unwrap().queue = None;
        })
    }),
    of("failed-batches-by-metric", &["failed-batches"], || {
        but(|it| {
            it.history.dead_letters = None;
            it.metric(
                (Sqs, "ApproximateNumberOfMessagesVisible"),
                &[("QueueName", "alleycat-failed")],
                Maximum,
                from(14, 5.0),
            );
        })
    }),
    of("mapping-without-guards", GUARDS, || but(without_guards)),
    of("mapping-drops-without-trace", &["failure-destination"], || {
        but(|it| {
            it.mapping().max_age_seconds = Some(600);
            it.mapping().on_failure = None;
        })
    }),
    of("mapping-problem", &["mapping-state"], || {
        but(|it| it.mapping().last_result = Some("PROBLEM: Function call failed".to_owned()))
    }),
    of("starting-position", &["starting-position"], || {
        but(|it| it.mapping().starting_position = Some("LATEST".to_owned()))
    }),
    of("batch-size", &["batch-size"], || but(|it| it.mapping().batch_size = 10_000)),
    of("packing-and-parallelization", &["packing-and-parallelization"], || {
        but(|it| {
            it.mapping().parallelization_factor = 4;
            it.metric((Kinesis, "IncomingRecords"), STREAM, Sum, |_| 120.0);
            it.metric((Kinesis, "IncomingBytes"), STREAM, Sum, |_| 120.0 * 45_000.0);
        })
    }),
    of("sequence-dedup", &["sequence-dedup"], || {
        but(|it| {
            it.mapping().parallelization_factor = 4;
            it.rules().race_types.get_mut("3").unwrap().dedups = vec!["sequence".to_owned()];
        })
    }),
];

const GUARDS: &[&str] = &["partial-batch-responses", "unlimited-retries", "failure-destination", "event-count"];
