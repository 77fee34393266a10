//! How the tables take what is written.

use paceline_capacity::dynamodb::BURST_SECONDS;

use super::capacity::{
    HEADROOM, NEARLY_USED, Target, added_write_units, more_units, observed, on_demand, provision, targets,
    with_units_of_an_item,
};
use super::events::events;
use super::facts::{TABLE, not_known, recent_part};
use super::fewer_writes::fewer_writes;
use super::throttles::write_events;
use crate::finding::{Evidence, Finding, Outcome, Remedy, Severity};
use crate::history::{Capacity, Course, History, Point};
use crate::prices::{read_unit, write_unit};
use crate::words::{dollars, duration, number, percent};

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

fn nearly_used(history: &History, target: &Target<'_>, consumed: &Course, peak: Point) -> Finding {
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
    let spend = |credit: f64, point: &Point| (credit + (units - point.1) * consumed.period_seconds).clamp(0.0, full);
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
        let reason = "The index has fewer write units than its table. When it throttles, the table's writes are \
                      throttled, whatever the table has left.";
        let finding = Finding::new(if is_used { Severity::Warning } else { Severity::Note }, target.subject(), reason)
            .evidence(Evidence::new("write units of the index", has, "units a second").threshold(f64::from(write)))
            .evidences(
                peak.map(|peak| Evidence::point("ConsumedWriteCapacityUnits", peak, "units a second").threshold(has)),
            )
            .remedy(Remedy::new(
                provision(history, target.table, read, write),
                "The index has the table's write units.",
                format!("{} more ({} units)", dollars(write_unit() * f64::from(added)), number(f64::from(added))),
            ));
        findings.push(finding);
    }
    Outcome::of(findings, "indexes have the write units of their tables")
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
                ((consumed.map_or(0.0, |peak| peak.1).max(f64::from(read)) * HEADROOM / 10.0).ceil() * 10.0) as u32;
            finding = finding.remedy(Remedy::new(
                provision(history, target.table, wanted, write),
                format!("{wanted} read units a second."),
                format!("{} more", dollars(read_unit() * f64::from(wanted.saturating_sub(read)))),
            ));
        }
        findings.push(
            finding
                .remedy(Remedy::new(on_demand(history, target.table), "No units to provision.", "by the request"))
                .ongoing(seen.ongoing)
                .during(seen.span),
        );
    }
    Outcome::of(findings, "no read of a table is throttled")
}
