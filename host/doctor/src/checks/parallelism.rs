//! How many batches the function works on at once.

use paceline_capacity::lambda::{ACCOUNT_CONCURRENCY, PARALLELIZATION};

use super::events::events;
use super::facts::{
    FUNCTION, mapping_concurrency, mappings, not_known, of_function, open_shards, packed, recent_part, unknown_function,
};
use super::mapping::update_mapping;
use super::readings::{Reading, readings};
use crate::command::{Command, update_shard_count};
use crate::finding::{Evidence, Finding, Outcome, Remedy, Severity};
use crate::history::{Function, History, Namespace, Statistic};
use crate::lag::LagState;
use crate::prices::shard_month;
use crate::words::{counted, dollars, number};

/// Whether Lambda has no capacity for the function.
pub(super) fn function_throttled(history: &History) -> Outcome {
    let throttles = of_function(history, "Throttles", Statistic::Sum);
    let Some(function) = history.function.as_ref().filter(|_| history.observes(Namespace::Lambda)) else {
        return unknown_function(history, "Throttles");
    };
    let Some(seen) = events(history, &throttles) else {
        return Outcome::Healthy("no invocation was throttled".to_owned());
    };
    let limit = function.reserved_concurrency.unwrap_or(ACCOUNT_CONCURRENCY);
    let whose = if function.reserved_concurrency.is_some() { "reserved for it" } else { "of the account" };
    let reason = format!(
        "Lambda rejects invocations: the concurrency {whose} is used up. Throttled batches wait and are not counted \
         as retries."
    );
    let finding = Finding::new(Severity::Warning, format!("function {}", function.name), reason)
        .evidence(Evidence::point("Throttles", seen.peak, "invocations a period").threshold(0.0))
        .evidence(Evidence::new(format!("concurrency {whose}"), f64::from(limit), "invocations at once"))
        .remedy(more_concurrency(history, function))
        .ongoing(seen.ongoing)
        .during(seen.span);
    Outcome::Findings(vec![finding])
}

fn more_concurrency(history: &History, function: &Function) -> Remedy {
    let wanted =
        mapping_concurrency(history).unwrap_or(1).max(function.reserved_concurrency.unwrap_or(0).saturating_add(1));
    let command = Command::aws(history, "lambda put-function-concurrency").option("--function-name", &function.name);
    Remedy::new(
        command.option("--reserved-concurrent-executions", wanted.to_string()).build(),
        format!("Lets {wanted} batches run at once, as many as the mapping can have."),
        "nothing: what is reserved is not billed",
    )
    .breaks("What is reserved is taken from the other functions of the account.")
}

/// Whether the mapping can have more batches at once than the function.
pub(super) fn concurrency(history: &History) -> Outcome {
    let (Some(function), Some(wanted)) = (&history.function, mapping_concurrency(history)) else {
        return Outcome::NotChecked(not_known(history, FUNCTION, "no function reads the stream"));
    };
    let limit = function.reserved_concurrency.unwrap_or(ACCOUNT_CONCURRENCY);
    if wanted <= limit {
        return Outcome::Healthy(format!(
            "{} batches at once at most, of {}",
            number(f64::from(wanted)),
            number(f64::from(limit))
        ));
    }
    let reason = "The mapping can have more batches at once than the function: some shards wait for others.";
    let finding = Finding::new(Severity::Warning, format!("function {}", function.name), reason)
        .evidence(
            Evidence::new("shards × parallelization factor", f64::from(wanted), "at once").threshold(f64::from(limit)),
        )
        .arithmetic(format!(
            "{} × factor {}: {wanted} batches at once; the function may have {limit}",
            counted(history.stream.as_ref().map_or(1, open_shards), "shard"),
            mappings(history).map(|(_, mapping)| mapping.parallelization_factor).max().unwrap_or(1)
        ))
        .remedy(more_concurrency(history, function));
    Outcome::Findings(vec![finding])
}

/// Whether the function is late with all the concurrency that it has.
pub(super) fn no_parallelism(history: &History) -> Outcome {
    let at_once = of_function(history, "ConcurrentExecutions", Statistic::Maximum);
    let (Some(function), Some(peak), Some(most)) =
        (&history.function, recent_part(history, &at_once).peak(), mapping_concurrency(history))
    else {
        return unknown_function(history, "ConcurrentExecutions");
    };
    let is_late = |it: &Reading| it.is_of_function() && matches!(it.lag.state, LagState::Slow | LagState::Stuck);
    let late = readings(history).iter().any(is_late);
    if !late || peak.1 < f64::from(most) {
        return Outcome::Healthy(format!("{} of at most {most} batches at once", number(peak.1)));
    }
    let factor = mappings(history).map(|(_, mapping)| mapping.parallelization_factor).max().unwrap_or(1);
    let reason = format!("The function is late, and all the batches that it may have at once are under way: {most}.");
    let finding = Finding::new(Severity::Warning, format!("function {}", function.name), reason)
        .evidence(Evidence::point("ConcurrentExecutions", peak, "at once").threshold(f64::from(most)))
        .arithmetic(format!(
            "{} × factor {factor}: {most}",
            counted(history.stream.as_ref().map_or(1, open_shards), "shard")
        ))
        .remedies(parallelize(history));
    Outcome::Findings(vec![finding])
}

/// A higher factor, or more shards.
pub(super) fn parallelize(history: &History) -> Vec<Remedy> {
    let mut remedies = Vec::new();
    let (Some((_, mapping)), Some(stream)) = (mappings(history).next(), &history.stream) else { return remedies };
    if mapping.parallelization_factor < PARALLELIZATION && packed(history).is_none() {
        remedies.push(
            Remedy::new(
                update_mapping(history, mapping)
                    .option("--parallelization-factor", PARALLELIZATION.to_string())
                    .build(),
                format!(
                    "Up to {PARALLELIZATION} batches of a shard at once instead of {}, each with its own \
                         partition keys.",
                    mapping.parallelization_factor
                ),
                "nothing by itself: the same work at once instead of in turn",
            )
            .breaks(
                "Excludes packing: an aggregate has one key. Order holds for a partition key only, so random \
                     keys need ordinal dedup. Windows become one for each part. A throttled table gets more load.",
            ),
        );
    }
    let shards = open_shards(stream);
    remedies.push(
        Remedy::new(
            update_shard_count(history, stream, shards * 2),
            format!("{} are read at once instead of {shards}.", counted(shards * 2, "shard")),
            format!("{} more", dollars(shard_month() * shards as f64)),
        )
        .breaks("A backlog stays in the old shards, which are read first. Windows end with their shard."),
    );
    remedies
}
