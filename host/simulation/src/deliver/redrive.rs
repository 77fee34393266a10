//! A redrive, as `paceline dead-letters redrive` makes it, on a host of its own.

use std::sync::Arc;

use paceline_pipeline::model::{BatchLimits, DeadLetter};
use paceline_pipeline::receive::{Redrive, Source};
use paceline_pipeline::store::DeadLetterStore;
use paceline_pipeline::summary::Summary;
use tokio::task::JoinSet;

use super::Fleet;
use crate::host::{Host, Life};
use crate::plant::Plant;
use crate::world::sleep_ms;

/// The wait before a batch is processed again, in milliseconds.
const AGAIN_MS: u64 = 500;

/// Redrives all dead letters on each of these hosts, at the same time. Returns whether all came to their end.
pub(crate) async fn redrive_at_once(fleet: &Fleet, hosts: &[Arc<Host>]) -> bool {
    let mut redrives = JoinSet::new();
    for host in hosts {
        let (fleet, host) = (fleet.clone(), Arc::clone(host));
        redrives.spawn(async move { redrive(&fleet, &host).await });
    }
    redrives.join_all().await.into_iter().all(|done| done)
}

/// Redrives all dead letters but the unsure ones. Returns whether it came to its end.
async fn redrive(fleet: &Fleet, host: &Arc<Host>) -> bool {
    let life = host.life().await;
    fleet.world.trace(format_args!("redrive"));
    life.work(run(fleet, &life)).await.unwrap_or(false)
}

async fn run(fleet: &Fleet, life: &Life) -> bool {
    let (pipeline, world) = (&life.pipeline, &fleet.world);
    let Ok(letters) = pipeline.store().list_dead_letters().await else { return false };
    let ids: Vec<String> = letters.into_iter().filter(|letter| !letter.unsure).map(|letter| letter.id).collect();
    let Ok(mut letters) = pipeline.store().assign_redrive_sequences(&ids).await else { return false };
    if world.is_planted(Plant::RedriveForgetsFolded) {
        letters = letters.into_iter().map(|letter| DeadLetter { folded: Vec::new(), ..letter }).collect();
    }
    let (windows, letters): (Vec<_>, Vec<_>) = letters.into_iter().partition(DeadLetter::is_of_window);
    for window in &windows {
        match pipeline.redrive_window(window, &mut Summary::default()).await {
            Ok(outcome) => world.trace(format_args!("redrives {}: {outcome:?}", window.id)),
            Err(error) if error.is_transient() || error.waits_for_rules() => return false,
            Err(error) => {
                fleet.report_fatal(&error);
                return false;
            }
        }
    }
    let limits = BatchLimits { max_records: world.plan.batch as usize, ..BatchLimits::default() };
    let mut source = Redrive::new(letters);
    while let Ok(Some(batch)) = source.next(&limits) {
        loop {
            match pipeline.process(&batch, None, &mut Summary::default()).await {
                Ok(outcome) => match outcome.first_uncommitted {
                    None => break,
                    Some((_, why)) if why.waits_for_rules() => sleep_ms(AGAIN_MS).await,
                    Some(_) => return false,
                },
                Err(error) if error.is_transient() => return false,
                Err(error) => {
                    fleet.report_fatal(&error);
                    return false;
                }
            }
        }
    }
    true
}
