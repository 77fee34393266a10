//! Observe: what became of a committed batch's records, and what that shows of rulebooks on trial.

use std::time::{Duration, Instant};

use paceline_engine::{Digest, Usage};

use super::context::Context;
use super::count::{Counted, count};
use super::evaluated::Evaluated;
use super::shadow::shadow;
use crate::model::DeadLetter;
use crate::rules::{Arm, Tally, Trial, TrialMode};
use crate::trials::Trials;

/// Records that a shadow evaluates at once. One that fails on many of them is called again and again for fewer, and its
/// time may be used up before it is through: then those of a smaller part at least are compared.
const SHADOW_RECORDS: usize = 500;

/// Counts the records before `committed`, and lets shadows evaluate those of a batch that is committed as a whole.
pub(crate) fn observe<S>(
    context: &mut Context<'_, S>,
    evaluated: Evaluated<'_, '_>,
    letters: &[(u32, DeadLetter)],
    committed: u32,
    trials: &Trials,
) {
    let catalog = &evaluated.projected.catalog;
    let counted = count(context.summary, catalog, evaluated.routed, letters, committed);
    let is_whole = committed as usize == evaluated.projected.batch.records.len();
    for (race_type, trial) in catalog.trials() {
        let current = catalog.route_of(race_type).and_then(|route| route.current);
        let mut tally = Tally::default();
        for of in counted.iter().filter(|counted| counted.race_type == race_type) {
            if trial.is_canary() && of.rulebook == trial.rulebook {
                tally.candidate.add(&arm(context, &counted, of));
            } else if Some(of.rulebook) == current {
                tally.current.add(&arm(context, &counted, of));
            }
        }
        if let (TrialMode::Shadow, Some(current), true) = (trial.mode, current, is_whole) {
            let took = Duration::from_nanos(tally.current.nanos);
            tally.add(&compare(context, evaluated, (race_type, trial), (current, took), trials));
        }
        trials.add(race_type, trial, &tally);
    }
}

/// The records of one race type, with their part of what the rulebook's calls cost.
fn arm<S>(context: &Context<'_, S>, counted: &[Counted<'_>], of: &Counted<'_>) -> Arm {
    let all =
        counted.iter().filter(|other| other.rulebook == of.rulebook).map(|other| other.rows.evaluated).sum::<u64>();
    let mut usage = Usage::default();
    let calls = context.calls.iter().filter(|(plugin, _)| plugin.rulebook.digest == of.rulebook);
    calls.for_each(|(_, calls)| usage.add(calls));
    let part = |whole: u64| if all == 0 { 0 } else { (whole as f64 * of.rows.evaluated as f64 / all as f64) as u64 };
    let faults = part(usage.faults.values().sum());
    Arm { rows: of.rows, faults, fuel: part(usage.fuel), nanos: part(usage.time.as_nanos() as u64) }
}

/// Lets a shadow evaluate the records of the current rulebook, as long as it has time left.
fn compare<S>(
    context: &mut Context<'_, S>,
    Evaluated { projected, routed, record_batches }: Evaluated<'_, '_>,
    (race_type, trial): (&str, &Trial),
    (current, took): (Digest, Duration),
    trials: &Trials,
) -> Tally {
    let mut tally = Tally::default();
    let ours = routed.race_types.iter().find(|routed| routed.race_type == race_type && routed.rulebook == current);
    let record_batch = record_batches.iter().find(|batch| batch.rulebook.rulebook.id.digest == current);
    let (Some(routed), Some(record_batch)) = (ours, record_batch) else { return tally };
    let mut until = trials.shadow_until(took);
    for records in routed.records.chunks(SHADOW_RECORDS) {
        match until {
            Some(end) => {
                let started = Instant::now();
                tally.add(&shadow(context, projected, (race_type, trial, records), record_batch, end));
                trials.shadow_took(started.elapsed());
                until = until.filter(|end| *end > Instant::now());
            }
            None => tally.shadow.skipped += records.len() as u64,
        }
    }
    tally
}
