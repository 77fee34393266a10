//! How the tables take what is written.

use paceline_capacity::dynamodb::{BURST_SECONDS, PARTITION_WRITE_UNITS, write_units};

use super::capacity::{Target, added_write_units, on_demand, provision, targets};
use super::facts::{Events, TABLE, events, mappings, not_known, recent_part};
use super::function::update_mapping;
use crate::command::Command;
use crate::finding::{Evidence, Finding, Outcome, Remedy, Severity};
use crate::history::{Capacity, Course, History, Namespace};
use crate::prices::{MILLION_WRITE_UNITS_ON_DEMAND, READ_UNIT, WRITE_UNIT};
use crate::words::{bytes, dollars, duration, number, percent};

/// The share of provisioned capacity, or of a partition's, from which on it is nearly used.
const NEARLY_USED: f64 = 0.8;
/// How much more than what was used a remedy provisions.
const HEADROOM: f64 = 1.5;
/// Seconds of the window that a remedy proposes.
const WINDOW_SECONDS: u32 = 15;

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

/// The same of a table on demand whose metrics name no cause.
const UNKNOWN_ON_DEMAND: (&str, &str) =
    ("", "A partition gets more than its 1,000 units a second, or the table more than twice its highest load so far.");

/// The tables and indexes, if CloudWatch has anything of them.
fn observed(history: &History) -> Result<Vec<Target<'_>>, Outcome> {
    let targets = targets(history);
    if targets.is_empty() {
        return Err(Outcome::NotChecked(not_known(history, TABLE, "no table's settings are known")));
    }
    if !targets.iter().any(|it| history.observes_of(Namespace::Dynamodb, "TableName", &it.table.name)) {
        return Err(Outcome::NotChecked(not_known(history, TABLE, "no data of any table")));
    }
    Ok(targets)
}

/// Throttled writes of a table or an index, with the metric that shows them.
fn write_events(history: &History, target: &Target<'_>) -> Option<(&'static str, Events)> {
    let names = ["WriteThrottleEvents", "ThrottledRequests"].into_iter().chain(CAUSES.map(|(name, _)| name));
    let mut seen = names.filter_map(|name| Some((name, events(history, &target.sums(history, name))?)));
    // Without any, the index's or the reads' requests may still be counted for the table.
    let first = seen.next()?;
    let reads = events(history, &target.sums(history, "ReadThrottleEvents"));
    (first.0 != "ThrottledRequests" || reads.is_none()).then_some(first)
}

/// A table or an index whose writes are throttled.
struct Throttled<'a> {
    target: &'a Target<'a>,
    metric: &'static str,
    seen: Events,
    consumed: Course,
}

/// Whether writes are throttled, and why: a finding for each table with its indexes.
pub(super) fn write_throttles(history: &History) -> Outcome {
    let targets = match observed(history) {
        Ok(targets) => targets,
        Err(outcome) => return outcome,
    };
    let throttled: Vec<Throttled<'_>> = targets.iter().filter_map(|target| throttled(history, target)).collect();
    let tables = throttled.chunk_by(|a, b| a.target.table.name == b.target.table.name);
    Outcome::of(tables.map(|parts| of_table(history, parts)).collect(), "no write is throttled")
}

fn throttled<'a>(history: &History, target: &'a Target<'a>) -> Option<Throttled<'a>> {
    let (metric, seen) = write_events(history, target)?;
    let consumed = target.sums(history, "ConsumedWriteCapacityUnits").per_second();
    Some(Throttled { target, metric, seen, consumed })
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
        .ongoing(parts.iter().any(|part| part.seen.ongoing));
    for part in parts {
        finding = with_part(finding, part, metric == CAUSES[3].0);
    }
    let counts = causes.iter().map(|cause| Evidence::new(cause.0, cause.2, "events in all").threshold(0.0));
    let demand = parts.iter().filter_map(|part| part.consumed.peak()).map(|peak| peak.1).fold(0.0, f64::max);
    finding.evidences(counts).remedies(remedies(history, first.target, metric, demand))
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

/// What an item costs, if its size is known.
fn with_units_of_an_item(finding: Finding, target: &Target<'_>) -> Finding {
    let Some(size) = target.table.item_bytes.filter(|_| target.index.is_none()) else { return finding };
    let units = write_units(size);
    let indexes = target.table.indexes.len() as u64;
    let local = if target.table.local_indexes { ", and as much for each local index" } else { "" };
    finding.arithmetic(format!(
        "an item of {}: {units} units a write, {} more for indexes whose keys or attributes change{local}",
        bytes(size as f64),
        number((units * indexes) as f64)
    ))
}

/// How long burst credit lasts.
fn burst(units: f64, demand: f64) -> String {
    let credit = BURST_SECONDS * units;
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
            format!("{} for each million more write units", dollars(MILLION_WRITE_UNITS_ON_DEMAND)),
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

/// More units for the table and its indexes, or on demand.
fn more_units(history: &History, target: &Target<'_>, demand: f64) -> Vec<Remedy> {
    let table = target.table;
    let Capacity::Provisioned { read, write } = table.capacity else { return Vec::new() };
    let wanted = (demand.max(f64::from(write)) * HEADROOM / 10.0).ceil() as u32 * 10;
    let added = added_write_units(table, wanted);
    vec![
        Remedy::new(
            provision(history, table, read, wanted),
            format!("{wanted} write units a second, for the table and all its indexes."),
            format!("{} more ({added} units)", dollars(WRITE_UNIT * f64::from(added))),
        )
        .breaks(
            "Autoscaling would set it again; it reacts after 2 minutes and does not help in a burst. Capacity can be \
                 lowered 27 times a day.",
        ),
        Remedy::new(
            on_demand(history, table),
            "No units to provision: up to twice the highest load so far at once.",
            format!(
                "{} for each million write units; cheaper than provisioned below some 20 % use",
                dollars(MILLION_WRITE_UNITS_ON_DEMAND)
            ),
        )
        .breaks("One partition key still has 1,000 units a second. The mode can be changed a few times a day."),
    ]
}

/// Fewer writes for the same records.
fn fewer_writes(history: &History) -> Vec<Remedy> {
    let Some((_, mapping)) = mappings(history).find(|(_, mapping)| mapping.tumbling_window_seconds == 0) else {
        return Vec::new();
    };
    let command = update_mapping(history, mapping).option("--tumbling-window-in-seconds", WINDOW_SECONDS.to_string());
    vec![
        Remedy::new(
            command.build(),
            format!("A group is written once in {WINDOW_SECONDS} s instead of once a batch: some 77 units for 1,000 records \
                     instead of 1,010."),
            "less: fewer write units",
        )
        .breaks(format!("Standings are up to {WINDOW_SECONDS} s older. Only at parallelization factor 1.")),
    ]
}

/// Whether a table lives on its burst credit.
pub(super) fn write_capacity(history: &History) -> Outcome {
    let targets = match observed(history) {
        Ok(targets) => targets,
        Err(outcome) => return outcome,
    };
    let mut findings = Vec::new();
    for target in targets.iter().filter(|target| write_events(history, target).is_none_or(|(_, seen)| !seen.ongoing)) {
        let Some(units) = target.write_units() else { continue };
        let consumed = target.sums(history, "ConsumedWriteCapacityUnits").per_second();
        let recent = recent_part(history, &consumed);
        let Some(peak) = recent.peak().filter(|peak| peak.1 >= NEARLY_USED * units) else { continue };
        findings.push(nearly_used(history, target, &consumed, peak));
    }
    Outcome::of(findings, "consumption is within what is provisioned")
}

fn nearly_used(history: &History, target: &Target<'_>, consumed: &Course, peak: crate::history::Point) -> Finding {
    let units = target.write_units().unwrap_or(1.0);
    let average = recent_part(history, consumed).average().unwrap_or(0.0);
    let left = credit_left(consumed, units);
    let reason = if peak.1 > units {
        "More is written than is provisioned: the table lives on its burst credit, and throttles when that is used up."
    } else {
        "Nearly all of the provisioned capacity is used. What comes on top lives on burst credit."
    };
    let severity = if average > units { Severity::Warning } else { Severity::Note };
    let mut finding = Finding::new(severity, target.subject(), reason)
        .evidence(Evidence::point("ConsumedWriteCapacityUnits", peak, "units a second").threshold(units))
        .arithmetic(format!("{} of {} units a second: {}", number(peak.1), number(units), percent(peak.1 / units)));
    if average > units {
        finding = finding.arithmetic(format!(
            "burst credit left: {} units ÷ ({} − {}) a second: gone in {}",
            number(left),
            number(average),
            number(units),
            duration(left / (average - units))
        ));
    }
    with_units_of_an_item(finding, target).remedies(more_units(history, target, peak.1)).remedies(fewer_writes(history))
}

/// The burst credit at the end of a course, if it was full at its beginning.
fn credit_left(consumed: &Course, units: f64) -> f64 {
    let full = BURST_SECONDS * units;
    let spend = |credit: f64, point: &crate::history::Point| {
        (credit + (units - point.1) * consumed.period_seconds).clamp(0.0, full)
    };
    consumed.points.iter().fold(full, spend)
}

/// Whether an index has fewer units than its table.
pub(super) fn index_capacity(history: &History) -> Outcome {
    let targets = targets(history);
    if targets.is_empty() {
        return Outcome::NotChecked(not_known(history, TABLE, "no table's settings are known"));
    }
    let mut findings = Vec::new();
    for target in targets.iter().filter(|target| target.index.is_some()) {
        let (Some(has), Capacity::Provisioned { read, write }) = (target.write_units(), target.table.capacity) else {
            continue;
        };
        if has >= f64::from(write) {
            continue;
        }
        let consumed = target.sums(history, "ConsumedWriteCapacityUnits").per_second();
        let peak = consumed.peak();
        let is_used = peak.is_some_and(|peak| peak.1 >= NEARLY_USED * has);
        let added = added_write_units(target.table, write);
        let reason = "The index has fewer write units than its table. When it throttles, the table's writes are throttled, \
                      whatever the table has left.";
        let finding = Finding::new(if is_used { Severity::Warning } else { Severity::Note }, target.subject(), reason)
            .evidence(Evidence::new("write units of the index", has, "units a second").threshold(f64::from(write)))
            .evidences(
                peak.map(|peak| Evidence::point("ConsumedWriteCapacityUnits", peak, "units a second").threshold(has)),
            )
            .remedy(Remedy::new(
                provision(history, target.table, read, write),
                "The index has the table's write units.",
                format!("{} more ({added} units)", dollars(WRITE_UNIT * f64::from(added))),
            ));
        findings.push(finding);
    }
    Outcome::of(findings, "indexes have the write units of their tables")
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
            .arithmetic("1,000 racers × 1 write unit a second under race-RACE: 1,000 units a second, one key's limit");
        if local {
            finding =
                finding.arithmetic("a local index keeps a key's items in one partition: DynamoDB cannot split them");
        }
        findings.push(finding.remedies(fewer_writes(history)).remedy(spread_keys(history)));
    }
    Outcome::of(findings, "no partition key is near 1,000 write units a second")
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

/// Whether reads are throttled.
pub(super) fn read_throttles(history: &History) -> Outcome {
    let targets = match observed(history) {
        Ok(targets) => targets,
        Err(outcome) => return outcome,
    };
    let mut findings = Vec::new();
    for target in &targets {
        let Some(seen) = events(history, &target.sums(history, "ReadThrottleEvents")) else { continue };
        let consumed = target.sums(history, "ConsumedReadCapacityUnits").per_second().peak();
        let mut finding = Finding::new(
            Severity::Warning,
            target.subject(),
            "Reads are throttled: those of a batch, or of other readers of the table.",
        )
        .evidence(Evidence::point("ReadThrottleEvents", seen.peak, "events a period").threshold(0.0))
        .evidences(consumed.map(|peak| {
            Evidence::point("ConsumedReadCapacityUnits", peak, "units a second")
                .threshold(target.read_units().unwrap_or(3_000.0))
        }));
        if let Capacity::Provisioned { read, write } = target.table.capacity {
            let wanted =
                (consumed.map_or(0.0, |peak| peak.1).max(f64::from(read)) * HEADROOM / 10.0).ceil() as u32 * 10;
            finding = finding.remedy(Remedy::new(
                provision(history, target.table, wanted, write),
                format!("{wanted} read units a second."),
                format!("{} more", dollars(READ_UNIT * f64::from(wanted.saturating_sub(read)))),
            ));
        }
        findings.push(
            finding
                .remedy(Remedy::new(on_demand(history, target.table), "No units to provision.", "by the request"))
                .ongoing(seen.ongoing),
        );
    }
    Outcome::of(findings, "no read of a table is throttled")
}
