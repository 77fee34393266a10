//! Running hosts, by their own metrics.

use super::events::events;
use super::facts::{COUNTS, HOST, growth_of_hosts, if_counted, not_known, recent_part};
use crate::command::Command;
use crate::finding::{Evidence, Finding, Outcome, Remedy, Severity};
use crate::history::{History, Namespace, Statistic};
use crate::words::percent;

/// The share of writes that may be preceded by another writer's.
const CONTENTION: f64 = 0.2;

fn unknown(history: &History) -> Outcome {
    Outcome::NotChecked(not_known(history, HOST, "no running host was asked for its metrics"))
}

/// Whether a shard is not being read that should be.
pub(super) fn shard_failing(history: &History) -> Outcome {
    let states = history.select(Namespace::Host, "paceline_shard_state");
    if states.is_empty() {
        return unknown(history);
    }
    let mut findings = Vec::new();
    for (host, of_host) in states.with("state", "failing").by("host") {
        for (shard, state) in of_host.by("shard") {
            let Some(last) = state.highest().last().filter(|point| point.1 > 0.0) else { continue };
            let reason = "The host cannot read the shard, or cannot commit what it read. It tries again until that \
                          passes; its log has the reason.";
            findings.push(
                Finding::new(Severity::Critical, format!("host {host}, {shard}"), reason)
                    .evidence(Evidence::point("paceline_shard_state, failing", last, "").threshold(0.0))
                    .remedy(Remedy::new(
                        Command::paceline(history, "healthcheck").build(),
                        "Shows the host's health. `/readyz` names the shard and the reason.",
                        "nothing",
                    )),
            );
        }
    }
    Outcome::of(findings, "all shards are being read")
}

/// Whether aggregates have records of other shards.
pub(super) fn misrouted(history: &History) -> Outcome {
    let misrouted = match growth_of_hosts(history, "paceline_misrouted_records_total") {
        Ok(misrouted) => misrouted,
        Err(outcome) => return outcome,
    };
    let Some(seen) = events(history, &misrouted) else {
        return Outcome::Healthy("aggregates have only records of their shard".to_owned());
    };
    let reason = "Aggregates contain records whose keys belong to other shards: a producer's library mixes keys, or \
                  the stream was resharded under its aggregates. Under dedup by sequence they become unsure dead \
                  letters.";
    let finding = Finding::new(Severity::Note, "running hosts", reason)
        .evidence(Evidence::point("paceline_misrouted_records_total", seen.peak, "records a period").threshold(0.0))
        .remedy(
            Remedy::new(
                Command::paceline(history, "dead-letters redrive").word("--reason misrouted --unsure").build(),
                "Processes those that became dead letters, if the producer does not send them again by itself.",
                "the writes of these records",
            )
            .breaks("If the producer did send them again, dedup by sequence counts them twice."),
        )
        .ongoing(seen.ongoing)
        .during(seen.span);
    Outcome::Findings(vec![finding])
}

/// Whether writers precede each other.
pub(super) fn write_conflicts(history: &History) -> Outcome {
    let hosts = |name: &str| recent_part(history, &history.select(Namespace::Host, name).increases()).total();
    let function = |name: &str| {
        recent_part(history, &history.select(Namespace::Function, name).statistic(Statistic::Sum).sum()).total()
    };
    let conflicts = hosts("paceline_conflicts_total") + function("Conflicts");
    let groups = hosts("paceline_groups_total") + function("Groups");
    if groups <= 0.0 {
        return Outcome::NotChecked(not_known(history, COUNTS, "nothing is known of the groups that were written"));
    }
    let share = conflicts / (groups + conflicts);
    if share < CONTENTION {
        return if_counted(history, Outcome::Healthy(format!("{} of the writes met another writer", percent(share))));
    }
    let reason = "Writers precede each other: records of one group are processed at several places at once. Each \
                  conflict is billed and repeated.";
    let finding = Finding::new(Severity::Warning, "groups", reason)
        .evidence(
            Evidence::new("conditional writes that failed", conflicts, "writes")
                .threshold(CONTENTION * (groups + conflicts)),
        )
        .arithmetic(format!("{} of the writes in vain", percent(share)))
        .remedy(
            Remedy::new(
                Command::paceline(history, "rules status").build(),
                "Shows the hosts. Let one mapping read the stream, and let producers use one partition key for a \
                 group, such as the racer's id.",
                "less, by fewer write units",
            )
            .breaks("One key for a whole race puts it into one shard, at 1,000 records a second."),
        );
    Outcome::Findings(vec![finding])
}
