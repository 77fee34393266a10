//! How the function does its work.

use paceline_capacity::lambda::{MEGABYTES_OF_A_PROCESSOR, TIMEOUT_SECONDS};

use super::events::{events, span_above};
use super::facts::{
    COUNTS, FUNCTION, NO_HOST, arrivals, growth_of_hosts, if_counted, lacks_counts, mapping_concurrency, mappings,
    not_known, of_function, recent_part, unknown_function,
};
use super::mapping::update_mapping;
use crate::command::Command;
use crate::finding::{Evidence, Finding, Outcome, Remedy, Severity};
use crate::history::{Course, Function, History, Namespace, Point, Statistic};
use crate::words::{number, percent};

/// The share of the time-out from which on a batch is slow.
const SLOW: f64 = 0.8;

/// Whether batches take nearly as long as they may.
pub(super) fn function_slow(history: &History) -> Outcome {
    let durations = of_function(history, "Duration", Statistic::Maximum);
    let (Some(function), Some(peak)) = (&history.function, durations.peak()) else {
        return unknown_function(history, "Duration");
    };
    let timeout = f64::from(function.timeout_seconds);
    let seconds = peak.1 / 1_000.0;
    if seconds < SLOW * timeout {
        return Outcome::Healthy(format!("a batch takes {} s of {} at most", number(seconds), number(timeout)));
    }
    let stopped = seconds >= timeout * 0.999;
    let reason = if stopped {
        format!(
            "The function runs into its time-out of {} s. Its batch fails, and comes again as a whole.",
            number(timeout)
        )
    } else {
        format!("A batch takes {} of the function's time-out of {} s.", percent(seconds / timeout), number(timeout))
    };
    let severity = if stopped { Severity::Critical } else { Severity::Warning };
    let ongoing = recent_part(history, &durations).peak().is_some_and(|point| point.1 / 1_000.0 >= SLOW * timeout);
    let usual = of_function(history, "Duration", Statistic::Average).trough();
    let finding = Finding::new(severity, format!("function {}", function.name), reason)
        .evidence(Evidence::point("Duration, maximum", Point(peak.0, seconds), "s").threshold(timeout))
        .evidences(usual.map(|it| Evidence::point("Duration, average at its lowest", Point(it.0, it.1 / 1_000.0), "s")))
        .remedies(quicker(history, function))
        .ongoing(ongoing)
        .during(span_above(history, &durations, SLOW * timeout * 1_000.0));
    Outcome::Findings(vec![with_capacity(history, finding, seconds)])
}

/// What the function can process, beside what comes in.
fn with_capacity(history: &History, finding: Finding, seconds: f64) -> Finding {
    let (Some(concurrency), Some(arrivals)) = (mapping_concurrency(history), arrivals(history)) else { return finding };
    let Some((_, mapping)) = mappings(history).next() else { return finding };
    let batch = f64::from(mapping.batch_size);
    finding.arithmetic(format!(
        "batches of up to {} ÷ {} s × {} at once: up to {} records/s, and {} come in",
        number(batch),
        number(seconds),
        number(f64::from(concurrency)),
        number(batch / seconds * f64::from(concurrency)),
        number(recent_part(history, &arrivals.records).average().unwrap_or(0.0))
    ))
}

/// What makes a batch quicker.
fn quicker(history: &History, function: &Function) -> Vec<Remedy> {
    let update =
        || Command::aws(history, "lambda update-function-configuration").option("--function-name", &function.name);
    let mut remedies = Vec::new();
    if f64::from(function.memory_mb) < MEGABYTES_OF_A_PROCESSOR {
        remedies.push(
            Remedy::new(
                update().option("--memory-size", "1769").build(),
                format!(
                    "A whole processor instead of {}.",
                    percent(f64::from(function.memory_mb) / MEGABYTES_OF_A_PROCESSOR)
                ),
                "about the same for computing, which takes less time; more for waiting",
            )
            .breaks("Nothing, but it does not help where the table is what a batch waits for."),
        );
    }
    if let Some((_, mapping)) = mappings(history).next().filter(|(_, mapping)| mapping.batch_size > 100) {
        let half = (mapping.batch_size / 2).max(100);
        remedies.push(
            Remedy::new(
                update_mapping(history, mapping).option("--batch-size", half.to_string()).build(),
                "Smaller batches take less time each.",
                "more invocations, and more write units: a group is written once a batch",
            )
            .breaks("A longer batching window than it takes to fill a batch has no effect any more."),
        );
    }
    let longer = (function.timeout_seconds.saturating_mul(4)).min(TIMEOUT_SECONDS);
    if longer > function.timeout_seconds {
        remedies.push(
            Remedy::new(
                update().option("--timeout", longer.to_string()).build(),
                "Batches that take long are finished instead of repeated.",
                "nothing, or less: no time is spent in vain",
            )
            .breaks("A batch that hangs holds its shard for longer. Keep it above retry.deadline-ms."),
        );
    }
    remedies
}

/// The function's errors, if its log group has the default name.
fn errors_in_the_log(history: &History, function: &Function) -> String {
    Command::aws(history, "logs filter-log-events")
        .option("--log-group-name", format!("/aws/lambda/{}", function.name))
        .word("--filter-pattern ERROR --max-items 20")
        .build()
}

/// Whether invocations fail.
pub(super) fn function_errors(history: &History) -> Outcome {
    let errors = of_function(history, "Errors", Statistic::Sum);
    let invocations = of_function(history, "Invocations", Statistic::Sum);
    let Some(function) =
        history.function.as_ref().filter(|_| !errors.points.is_empty() || !invocations.points.is_empty())
    else {
        return unknown_function(history, "Errors");
    };
    let Some(seen) = events(history, &errors) else {
        return Outcome::Healthy("no invocation failed".to_owned());
    };
    let recent = (recent_part(history, &errors).total(), recent_part(history, &invocations).total());
    let all_fail = recent.1 > 0.0 && recent.0 >= recent.1 * 0.9;
    let severity = if all_fail { Severity::Critical } else { Severity::Warning };
    let reason = "Invocations fail: the function throws, runs into its time-out or out of memory, or cannot reach \
                  what it needs. Lambda repeats the batch, and its shard waits.";
    let mut finding = Finding::new(severity, format!("function {}", function.name), reason)
        .evidence(Evidence::point("Errors", seen.peak, "invocations a period").threshold(0.0))
        .evidence(Evidence::new(
            "Errors, in all",
            seen.total,
            format!("of {} invocations", number(invocations.total())),
        ))
        .remedy(Remedy::new(
            errors_in_the_log(history, function),
            "Shows the reasons. Records that are invalid are not among them: they become dead letters.",
            "nothing",
        ));
    for (_, mapping) in mappings(history).filter(|(_, mapping)| !mapping.bisect) {
        finding = finding.remedy(
            Remedy::new(
                update_mapping(history, mapping).word("--bisect-batch-on-function-error").build(),
                "A failed batch is halved until the record that fails is alone.",
                "some more invocations after an error",
            )
            .breaks("Nothing. Halving does not use up retries."),
        );
    }
    Outcome::Findings(vec![finding.ongoing(seen.ongoing).during(seen.span)])
}

/// Whether batches are answered without being committed.
pub(super) fn uncommitted_batches(history: &History) -> Outcome {
    let batches = history.select(Namespace::Function, "UncommittedBatches").statistic(Statistic::Sum).sum();
    let waits = match growth_of_hosts(history, "paceline_store_waits_total") {
        Ok(waits) => waits,
        Err(_) if history.observes(Namespace::Function) => Course::default(),
        Err(_) if lacks_counts(history) => return Outcome::NotChecked(not_known(history, COUNTS, NO_HOST)),
        Err(outcome) => return outcome,
    };
    let of_function = events(history, &batches).map(|seen| ("UncommittedBatches", "batches a period", seen));
    let of_hosts = events(history, &waits).map(|seen| ("paceline_store_waits_total", "more", seen));
    let Some((name, unit, seen)) = of_function.or(of_hosts) else {
        return if_counted(history, Outcome::Healthy("all batches are committed".to_owned()));
    };
    let function = history.function.as_ref().filter(|_| name == "UncommittedBatches");
    let reason = "Batches are not committed, and come again: the store cannot be reached or throttles, or records \
                  wait for a rulebook. Nothing is lost, but their shards do not go on.";
    let severity = if seen.peak.1 > 1.0 { Severity::Critical } else { Severity::Warning };
    let remedy = match function {
        Some(function) => {
            Remedy::new(errors_in_the_log(history, function), "Shows the reason of each batch.", "nothing")
        }
        None => {
            Remedy::new(Command::paceline(history, "healthcheck").build(), "Shows what the host waits for.", "nothing")
        }
    };
    let subject = function.map_or_else(|| "running hosts".to_owned(), |function| format!("function {}", function.name));
    let finding = Finding::new(severity, subject, reason)
        .evidence(Evidence { at: Some(seen.last), ..Evidence::point(name, seen.peak, unit) }.threshold(0.0))
        .remedy(remedy)
        .ongoing(seen.ongoing)
        .during(seen.span);
    Outcome::Findings(vec![finding])
}

/// Whether windows were ended early because their state was too large.
pub(super) fn tumbling_window(history: &History) -> Outcome {
    let Some((function, mapping)) = mappings(history).find(|(_, mapping)| mapping.tumbling_window_seconds > 0) else {
        return match history.function {
            Some(_) => Outcome::Healthy("there is no tumbling window".to_owned()),
            None => Outcome::NotChecked(not_known(history, FUNCTION, "no function reads the stream")),
        };
    };
    let early = history.select(Namespace::Function, "WindowsCommittedEarly").statistic(Statistic::Sum).sum();
    let mut findings = Vec::new();
    let subject = format!("function {}", function.name);
    let half = (mapping.tumbling_window_seconds / 2).max(1);
    if let Some(seen) = events(history, &early) {
        let reason = "States of windows exceed 1 MB, so windows are committed before their end: more writes than the \
                      window was meant for. Nothing is wrong with the results.";
        findings.push(
            Finding::new(Severity::Note, subject.clone(), reason)
                .evidence(Evidence::point("WindowsCommittedEarly", seen.peak, "windows a period").threshold(0.0))
                .remedy(Remedy::new(
                    update_mapping(history, mapping).option("--tumbling-window-in-seconds", half.to_string()).build(),
                    "Shorter windows have less state.",
                    "more write units: groups are written more often",
                ))
                .ongoing(seen.ongoing)
                .during(seen.span),
        );
    }
    if mapping.parallelization_factor > 1 {
        let reason = "With a parallelization factor above 1 each part of a shard has its own windows, and groups \
                      with records in several parts are written by each.";
        findings.push(
            Finding::new(Severity::Note, subject, reason)
                .evidence(
                    Evidence::new("parallelization factor", f64::from(mapping.parallelization_factor), "")
                        .threshold(1.0),
                )
                .remedy(
                    Remedy::new(
                        update_mapping(history, mapping).word("--parallelization-factor 1").build(),
                        "One window for each shard.",
                        "less, by fewer writes",
                    )
                    .breaks("Fewer batches at once: the function has to keep up with one for each shard."),
                ),
        );
    }
    let healthy = format!("windows of {} s hold their state", mapping.tumbling_window_seconds);
    if_counted(history, Outcome::of(findings, healthy))
}
