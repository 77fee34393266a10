//! Records that could not be processed, and batches that were given up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::events::events;
use super::facts::{COUNTS, allowance_seconds, if_counted, not_known};
use super::mapping::reprocess;
use super::readings::readings;
use crate::command::Command;
use crate::finding::{Evidence, Finding, Outcome, Remedy, Severity};
use crate::history::{DeadLetter, DeadLetters, History, Namespace, Point, Statistic, Timestamp};
use crate::scope::Scope;
use crate::words::number;

/// The newest dead letters of a reason that are shown.
const NEWEST: usize = 3;
/// Reasons of which a repetition helps once their cause is gone.
const OF_THE_RULES: [&str; 5] = ["no-rulebook", "pin-unresolved", "plugin-failed", "state-format", "dedup"];

/// Dead letters by reason.
pub(super) fn dead_letters(history: &History) -> Outcome {
    let letters = history.dead_letters.as_ref();
    let Some((letters, by_reason)) = letters.and_then(|letters| Some((letters, letters.by_reason.as_ref()?))) else {
        return if_counted(history, of_metrics(history));
    };
    let present = by_reason.iter().filter(|(_, count)| **count > 0);
    let findings: Vec<Finding> = present.map(|(reason, count)| of_reason(history, letters, reason, *count)).collect();
    if findings.is_empty() && letters.more {
        return Outcome::NotChecked("the table of dead letters is so large that reading it took too long".to_owned());
    }
    Outcome::of(findings, "there are none")
}

fn of_reason(history: &History, letters: &DeadLetters, reason: &str, count: u64) -> Finding {
    let mut newest: Vec<&DeadLetter> = letters.newest.iter().filter(|letter| letter.reason == reason).collect();
    newest.sort_by_key(|letter| std::cmp::Reverse(letter.at));
    let last = newest.first().and_then(|letter| letter.at);
    let is_new = last.is_none_or(|last| last >= history.since);
    let sentence =
        if is_new { "Records became dead letters." } else { "Records became dead letters, none of them in this span." };
    let all = if letters.more { "at least" } else { "in all" };
    let mut finding = Finding::new(Severity::Warning, format!("dead letters, {reason}"), sentence).evidence(
        Evidence { at: last, ..Evidence::new(format!("{reason}, {all}"), count as f64, "dead letters") }.threshold(0.0),
    );
    for letter in newest.iter().take(NEWEST) {
        finding = finding.arithmetic(format!("{}: {}", letter.id, letter.message));
    }
    finding = finding.remedy(Remedy::new(
        Command::paceline(history, "dead-letters list").build(),
        "Lists them with their reasons; `show ID` has the payload.",
        "the reads",
    ));
    if OF_THE_RULES.contains(&reason) {
        // Whether the groups of a race hold a record is not known without its rulebook.
        let is_unsure = reason == "pin-unresolved";
        let command = Command::paceline(history, "dead-letters redrive").option("--reason", reason);
        let command = if is_unsure { command.word("--unsure") } else { command };
        finding = finding.remedy(
            Remedy::new(
                command.build(),
                "Once the cause is gone: processes them again.",
                "the writes of these records",
            )
            .breaks(match is_unsure {
                true => "Under dedup by sequence, records that their groups hold already count twice.",
                false => "Nothing: no record is folded twice. Unsure ones are left alone without --unsure.",
            }),
        );
    }
    let mut finding = finding.ongoing(is_new);
    finding.scope = scope(history, reason, &newest);
    finding
}

/// When letters of a reason were written, and what they concern: the newest stand for all of it.
fn scope(history: &History, reason: &str, newest: &[&DeadLetter]) -> Scope {
    let shown = || newest.iter().take(NEWEST);
    let written = |letter: &DeadLetter| Some(at_latest(history, letter.at?));
    // Of two letters of one race type the newer one counts, which comes first.
    let race_types = shown().rev().map(|letter| Some((race_type(&letter.message)?.to_owned(), written(letter))));
    let race_types: Option<BTreeMap<String, Option<Timestamp>>> = race_types.collect();
    let versions: Option<BTreeSet<String>> = shown().map(|letter| letter.rulebook.clone()).collect();
    Scope {
        began: None,
        last: newest.first().and_then(|letter| written(letter)),
        // What no rulebook was found for is none of what another race type lacks.
        race_types: race_types.filter(|race_types| reason == "no-rulebook" && !race_types.is_empty()),
        versions: versions.filter(|versions| !versions.is_empty()),
    }
}

/// When a record that arrived then became a dead letter, at the latest: readers that are late process it later.
fn at_latest(history: &History, arrived: Timestamp) -> Timestamp {
    let late = readings(history).iter().map(|reading| reading.lag.age_seconds).fold(0.0, f64::max);
    let late = Duration::try_from_secs_f64(late + allowance_seconds(history)).unwrap_or(Duration::MAX).as_millis();
    Timestamp(arrived.0.saturating_add(u64::try_from(late).unwrap_or(u64::MAX)))
}

/// The race type that a message names: "there is no rulebook for race type `99` (field `/classId`)".
fn race_type(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("race type `")?;
    rest.split_once('`').map(|(name, _)| name)
}

/// Without access to the table: what the function or the hosts count.
fn of_metrics(history: &History) -> Outcome {
    let function = history.select(Namespace::Function, "DeadLetters").statistic(Statistic::Sum).without("reason").sum();
    let hosts = history.select(Namespace::Host, "paceline_dead_letters_total").increases();
    if !history.observes(Namespace::Function) && hosts.points.is_empty() {
        return Outcome::NotChecked(not_known(
            history,
            &["dead letters", "table", COUNTS[0]],
            "the table of dead letters was not read",
        ));
    }
    let counted = events(history, &function).map(|seen| ("DeadLetters", seen));
    let counted = counted.or_else(|| events(history, &hosts).map(|seen| ("paceline_dead_letters_total", seen)));
    let Some((name, seen)) = counted else {
        return Outcome::Healthy("none were counted".to_owned());
    };
    let finding = Finding::new(Severity::Warning, "dead letters by count", "Records became dead letters.")
        .evidence(Evidence::point(name, seen.peak, "dead letters a period").threshold(0.0))
        .evidence(Evidence::new(format!("{name}, in all"), seen.total, "dead letters"))
        .remedy(Remedy::new(
            Command::paceline(history, "dead-letters list").build(),
            "Lists them with their reasons; `show ID` has the payload.",
            "the reads",
        ))
        .ongoing(seen.ongoing)
        .during(seen.span);
    Outcome::Findings(vec![finding])
}

/// Batches that the mapping gave up.
pub(super) fn failed_batches(history: &History) -> Outcome {
    let queue = history.dead_letters.as_ref().and_then(|letters| letters.queue.as_ref());
    let visible = history.select(Namespace::Sqs, "ApproximateNumberOfMessagesVisible").statistic(Statistic::Maximum);
    let series = visible.highest();
    if queue.is_none() && series.points.is_empty() {
        let missing = "no queue of failed batches is known";
        return Outcome::NotChecked(not_known(history, &["queue", "dead letters"], missing));
    }
    let measured = queue.map(|queue| Point(history.until, queue.messages as f64)).or_else(|| series.last());
    let Some(Point(at, messages)) = measured.filter(|point| point.1 > 0.0) else {
        return Outcome::Healthy("no batch was given up".to_owned());
    };
    let url = queue.map_or("QUEUE-URL", |queue| queue.url.as_str());
    Outcome::Findings(vec![given_up(history, url, (at, messages))])
}

fn given_up(history: &History, url: &str, (at, messages): (Timestamp, f64)) -> Finding {
    let retention = history.stream.as_ref().map_or(24, |stream| stream.retention_hours);
    let reason = format!(
        "Lambda gave batches up. The queue has their positions, and the stream has their records for {} hours after \
         they arrived. Read them again before that.",
        number(f64::from(retention))
    );
    Finding::new(Severity::Critical, format!("queue {}", url.rsplit('/').next().unwrap_or(url)), reason)
        .evidence(Evidence::point("messages in the queue", Point(at, messages), "batches").threshold(0.0))
        .remedy(reprocess(
            Command::paceline(history, "dead-letters reprocess").option("--queue", url),
            "Reads these batches from the stream again and processes them.",
        ))
        .remedy(Remedy::new(
            Command::aws(history, "sqs receive-message")
                .option("--queue-url", url)
                .word("--max-number-of-messages 10 --visibility-timeout 0")
                .build(),
            "Shows shard, first and last sequence number of each batch.",
            "next to nothing",
        ))
}
