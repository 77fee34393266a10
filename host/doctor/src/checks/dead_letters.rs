//! Records that could not be processed, and batches that were given up.

use super::facts::{COUNTS, events, not_known};
use super::mapping::reprocess;
use crate::command::Command;
use crate::finding::{Evidence, Finding, Outcome, Remedy, Severity};
use crate::history::{DeadLetter, DeadLetters, History, Namespace, Point, Statistic, Timestamp};
use crate::words::number;

/// The newest dead letters of a reason that are shown.
const NEWEST: usize = 3;
/// Reasons of which a repetition helps once their cause is gone.
const OF_THE_RULES: [&str; 5] = ["no-rulebook", "pin-unresolved", "plugin-failed", "state-format", "dedup"];

/// Dead letters by reason.
pub(super) fn dead_letters(history: &History) -> Outcome {
    let Some(letters) = &history.dead_letters else {
        return of_metrics(history);
    };
    let present = letters.by_reason.iter().filter(|(_, count)| **count > 0);
    let findings = present.map(|(reason, count)| of_reason(history, letters, reason, *count));
    Outcome::of(findings.collect(), "there are none")
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
        let command = Command::paceline(history, "dead-letters redrive").option("--reason", reason);
        finding = finding.remedy(
            Remedy::new(
                command.build(),
                "Once the cause is gone: processes them again.",
                "the writes of these records",
            )
            .breaks("Nothing: no record is folded twice. Unsure ones are left alone without --unsure."),
        );
    }
    finding.ongoing(is_new)
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
        .ongoing(seen.ongoing);
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
