//! Writes that tables throttle, and why.

use paceline_capacity::dynamodb::{BURST_SECONDS, PARTITION_WRITE_UNITS};

use super::capacity::{NEARLY_USED, Target, more_units, observed, with_units_of_an_item};
use super::events::{Events, Span, events};
use super::fewer_writes::{Packing, fewer_writes, packing, units_per_thousand};
use crate::command::Command;
use crate::finding::{Evidence, Finding, Outcome, Remedy, Severity};
use crate::history::{Capacity, Course, History};
use crate::prices::million_write_units_on_demand;
use crate::words::{dollars, duration, number};

/// Why a write is throttled: the metric, and the sentence.
const CAUSES: [(&str, &str); 4] = [
    (
        "WriteKeyRangeThroughputThrottleEvents",
        "One partition gets more than its 1,000 write units a second, whatever the table has.",
    ),
    ("WriteAccountLimitThrottleEvents", "The account's limit of a table or of all tables is reached."),
    ("WriteMaxOnDemandThroughputThrottleEvents", "The maximum that is set for writes on demand is reached."),
    (
        "WriteProvisionedThroughputThrottleEvents",
        "Writes exceed the provisioned units a second, and the burst credit is used up.",
    ),
];

/// The same where the averages are below what is provisioned.
const BURSTS: &str = "Writes come in bursts: capacity holds by the second, and averages of a minute hide that.";
/// The same of a table on demand whose metrics name no cause.
const UNKNOWN_ON_DEMAND: (&str, &str) =
    ("", "A partition gets more than its 1,000 units a second, or the table more than twice its highest load so far.");

/// Throttled writes of a table or an index, with the metric that shows them.
pub(super) fn write_events(history: &History, target: &Target<'_>) -> Option<(&'static str, Events)> {
    let names = ["WriteThrottleEvents"].into_iter().chain(CAUSES.map(|(name, _)| name));
    let mut seen = names.filter_map(|name| Some((name, events(history, &target.sums(history, name))?)));
    seen.next()
}

/// A table's throttled requests, of which nothing shows whether they are reads, or writes that an index throttles.
fn unexplained(history: &History, target: &Target<'_>) -> Option<(&'static str, Events)> {
    let reads = events(history, &target.sums(history, "ReadThrottleEvents"));
    let name = "ThrottledRequests";
    let seen = events(history, &target.sums(history, name)).filter(|_| target.index.is_none() && reads.is_none())?;
    Some((name, seen))
}

/// A table or an index whose writes are throttled.
struct Throttled<'a> {
    target: &'a Target<'a>,
    metric: &'static str,
    seen: Events,
    consumed: Course,
}

impl Throttled<'_> {
    /// Whether the average of each period is well below what is provisioned.
    fn in_bursts(&self) -> bool {
        let peak = self.consumed.peak().map_or(0.0, |peak| peak.1);
        self.target.write_units().is_some_and(|units| peak < NEARLY_USED * units)
    }
}

/// Whether writes are throttled, and why: a finding for each table with its indexes.
pub(super) fn write_throttles(history: &History) -> Outcome {
    let targets = match observed(history) {
        Ok(targets) => targets,
        Err(outcome) => return outcome,
    };
    let mut throttled: Vec<Throttled<'_>> =
        targets.iter().filter_map(|it| Some(throttled_part(history, it, write_events(history, it)?))).collect();
    if throttled.is_empty() {
        throttled =
            targets.iter().filter_map(|it| Some(throttled_part(history, it, unexplained(history, it)?))).collect();
    }
    let tables = throttled.chunk_by(|a, b| a.target.table.name == b.target.table.name);
    Outcome::of(tables.map(|parts| of_table(history, parts)).collect(), "no write is throttled")
}

fn throttled_part<'a>(
    history: &History,
    target: &'a Target<'a>,
    (metric, seen): (&'static str, Events),
) -> Throttled<'a> {
    let consumed = target.sums(history, "ConsumedWriteCapacityUnits").per_second();
    Throttled { target, metric, seen, consumed }
}

fn of_table(history: &History, parts: &[Throttled<'_>]) -> Finding {
    let first = &parts[0];
    let causes = CAUSES.iter().map(|(metric, sentence)| {
        let of = |part: &Throttled<'_>| part.target.sums(history, metric).total();
        (*metric, *sentence, parts.iter().map(of).sum::<f64>())
    });
    let causes: Vec<_> = causes.filter(|cause| cause.2 > 0.0).collect();
    let cause = causes.iter().max_by(|a, b| a.2.total_cmp(&b.2)).map(|cause| (cause.0, cause.1));
    let (metric, sentence) = match (cause, first.target.capacity) {
        (Some(cause), _) => cause,
        (None, Capacity::Provisioned { .. }) if parts.iter().all(Throttled::in_bursts) => (CAUSES[3].0, BURSTS),
        (None, Capacity::Provisioned { .. }) => CAUSES[3],
        (None, Capacity::OnDemand { .. }) => UNKNOWN_ON_DEMAND,
    };
    let with_index = parts.iter().any(|part| part.target.index.is_some());
    let delays = if with_index { " A throttled index throttles the writes of its table." } else { "" };
    let others: Vec<&str> = parts[1..].iter().filter_map(|part| part.target.index).collect();
    let subject = match others.as_slice() {
        [] => first.target.subject(),
        others => format!("{} and its index {}", first.target.subject(), others.join(", ")),
    };
    let mut finding = Finding::new(Severity::Critical, subject, format!("Writes are throttled. {sentence}{delays}"))
        .ongoing(parts.iter().any(|part| part.seen.ongoing))
        .during(span_of(parts));
    for part in parts {
        finding = with_part(finding, part, metric == CAUSES[3].0);
    }
    let counts = causes.iter().map(|cause| Evidence::new(cause.0, cause.2, "events in all").threshold(0.0));
    let demand = parts.iter().filter_map(|part| part.consumed.peak()).map(|peak| peak.1).fold(0.0, f64::max);
    finding.evidences(counts).remedies(remedies(history, first.target, metric, demand))
}

/// From the first part's beginning to the last one's end.
fn span_of(parts: &[Throttled<'_>]) -> Span {
    let began: Option<Vec<_>> = parts.iter().map(|part| part.seen.span.0).collect();
    (began.and_then(|began| began.into_iter().min()), parts.iter().filter_map(|part| part.seen.span.1).max())
}

/// What was seen of a table or an index.
fn with_part(finding: Finding, part: &Throttled<'_>, provisioned: bool) -> Finding {
    let of = part.target.index.map(|index| format!(" of {index}")).unwrap_or_default();
    let mut finding = finding
        .evidence(Evidence::point(format!("{}{of}", part.metric), part.seen.peak, "events a period").threshold(0.0));
    finding = with_units_of_an_item(finding, part.target);
    let Some(peak) = part.consumed.peak() else { return finding };
    let evidence = Evidence::point(format!("ConsumedWriteCapacityUnits{of}"), peak, "units a second");
    match part.target.write_units() {
        Some(units) => {
            finding = finding.evidence(evidence.threshold(units));
            if provisioned { finding.arithmetic(burst(units, peak.1)) } else { finding }
        }
        None => finding.evidence(evidence),
    }
}

/// How long burst credit lasts.
fn burst(units: f64, demand: f64) -> String {
    let credit = BURST_SECONDS * units;
    if demand < NEARLY_USED * units {
        return format!(
            "{} of {} units a second on average: the writes come in bursts, and capacity holds by the second",
            number(demand),
            number(units)
        );
    }
    if demand <= units {
        return format!(
            "burst credit of {} × {} s: {} units, used up",
            number(units),
            number(BURST_SECONDS),
            number(credit)
        );
    }
    format!(
        "burst credit of {} × {} s: {} units ÷ ({} − {}) a second: gone after {}",
        number(units),
        number(BURST_SECONDS),
        number(credit),
        number(demand),
        number(units),
        duration(credit / (demand - units))
    )
}

fn remedies(history: &History, target: &Target<'_>, metric: &str, demand: f64) -> Vec<Remedy> {
    let table = target.table;
    let mut remedies = Vec::new();
    match metric {
        "WriteKeyRangeThroughputThrottleEvents" => remedies.extend(fewer_writes(history)),
        "WriteMaxOnDemandThroughputThrottleEvents" => remedies.push(Remedy::new(
            Command::aws(history, "dynamodb update-table")
                .option("--table-name", &table.name)
                .word("--on-demand-throughput MaxWriteRequestUnits=-1")
                .build(),
            "No maximum but the account's.",
            format!("{} for each million more write units", dollars(million_write_units_on_demand())),
        )),
        "WriteAccountLimitThrottleEvents" => remedies.push(Remedy::new(
            Command::aws(history, "service-quotas list-service-quotas").word("--service-code dynamodb").build(),
            "Shows the quotas that can be raised.",
            "nothing by itself",
        )),
        _ => {
            remedies.extend(more_units(history, target, demand));
            remedies.extend(fewer_writes(history));
        }
    }
    remedies
}

/// Whether one partition key gets nearly all that it can.
pub(super) fn hot_partition(history: &History) -> Outcome {
    let targets = match observed(history) {
        Ok(targets) => targets,
        Err(outcome) => return outcome,
    };
    let mut findings = Vec::new();
    for target in &targets {
        let throttled = events(history, &target.sums(history, CAUSES[0].0));
        let consumed = target.sums(history, "ConsumedWriteCapacityUnits").per_second();
        let peak = consumed.peak().filter(|peak| peak.1 >= NEARLY_USED * PARTITION_WRITE_UNITS);
        if throttled.is_none() && peak.is_none() {
            continue;
        }
        let (severity, reason) = if throttled.is_some() {
            (
                Severity::Critical,
                "A partition is hot: items of one partition key take at most 1,000 write units a second, \
                whatever the table has. A race is one partition key.",
            )
        } else {
            (
                Severity::Warning,
                "The table takes nearly what one partition key can. If most writes are of one race, they will \
                be throttled at 1,000 units a second, whatever the table has.",
            )
        };
        let local = target.table.local_indexes && target.index.is_none();
        let mut finding = Finding::new(severity, target.subject(), reason)
            .evidences(
                throttled.iter().map(|seen| Evidence::point(CAUSES[0].0, seen.peak, "events a period").threshold(0.0)),
            )
            .evidences(peak.map(|peak| {
                Evidence::point("ConsumedWriteCapacityUnits", peak, "units a second").threshold(PARTITION_WRITE_UNITS)
            }))
            .arithmetic(units_of_a_race(history));
        if local {
            finding =
                finding.arithmetic("a local index keeps a key's items in one partition: DynamoDB cannot split them");
        }
        findings.push(finding.remedies(fewer_writes(history)).remedy(spread_keys(history)));
    }
    Outcome::of(findings, "no partition key is near 1,000 write units a second")
}

/// What a race needs of its partition key's units.
fn units_of_a_race(history: &History) -> String {
    let each = "1,000 racers × 1 write unit a second under race-RACE: 1,000 units a second, one key's limit";
    match (packing(history), units_per_thousand(history)) {
        (Packing::Unpacked, _) => each.to_owned(),
        (Packing::Unknown, _) => format!("if groups are not packed: {each}"),
        (Packing::Packed, Some(units)) => format!(
            "packed groups, {} units for 1,000 records: one key takes ~{} records/s, if all are of one race",
            number(units),
            number(PARTITION_WRITE_UNITS / units * 1_000.0)
        ),
        (Packing::Packed, None) => {
            "packed groups: a race's key needs a unit for each KB of its shared items, once a batch".to_owned()
        }
    }
}

fn spread_keys(history: &History) -> Remedy {
    Remedy::new(
        Command::paceline(history, "rules publish").argument("rulebook.toml").word("--dry-run").build(),
        "A rulebook whose partition keys are finer, such as race and a part of the racer's number, spreads a race over \
         several partitions.",
        "the same write units; readers query each part",
    )
    .breaks("Items under the old keys are not found by the new ones: let races in progress end first.")
}
