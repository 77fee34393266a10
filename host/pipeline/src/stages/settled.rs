//! Records that are settled: they have a dead letter since their batch was delivered before.

use std::collections::HashSet;

use super::context::Context;
use crate::model::{Batch, DeadLetter, REDRIVE_SHARD};
use crate::store::{DeadLetterStore, StoreError};

/// The records of a batch that have a dead letter already, or had one that was redriven. The shard's horizon is known.
pub(crate) async fn settled<S: DeadLetterStore>(
    context: &Context<'_, S>,
    batch: &Batch,
) -> Result<HashSet<u32>, StoreError> {
    let (Some(first), false) = (batch.records.first(), *batch.shard == *REDRIVE_SHARD) else {
        return Ok(HashSet::new());
    };
    let (store, budget) = (context.store, context.budget);
    let Some(horizon) = context.horizon.letters() else { return Ok(HashSet::new()) };
    // Nearly always: no batch of the shard came so far before.
    if horizon < first.position {
        return Ok(HashSet::new());
    }
    let known_to = batch.records.partition_point(|record| record.position <= horizon);
    let ids = batch.records[..known_to].iter().map(|record| DeadLetter::id_of(&batch.shard, record.position));
    let ids: Vec<String> = ids.collect();
    let known = budget.retry(|| store.known_dead_letters(&ids)).await?;
    Ok((0..).zip(&ids).filter(|(_, id)| known.contains(*id)).map(|(record, _)| record).collect())
}
