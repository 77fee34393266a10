//! Dead letters by reason, and the newest of each.

use std::collections::BTreeMap;

use paceline_config::AnyStore;
use paceline_doctor::Timestamp;
use paceline_doctor::history::{DeadLetter, DeadLetters};
use paceline_pipeline::store::DeadLetterStore;

/// Of each reason.
const NEWEST: usize = 3;

/// Reads them all and keeps little.
pub(super) async fn read(store: &AnyStore) -> anyhow::Result<DeadLetters> {
    let (mut by_reason, mut newest) = (BTreeMap::new(), BTreeMap::<String, Vec<DeadLetter>>::new());
    store
        .scan_dead_letters(|letter| {
            let reason = letter.reason.cause.to_string();
            *by_reason.entry(reason.clone()).or_default() += 1;
            let newest = newest.entry(reason.clone()).or_default();
            let at = letter.arrival_ms.and_then(|ms| u64::try_from(ms).ok()).map(Timestamp);
            newest.push(DeadLetter { id: letter.id, reason, message: letter.reason.text, at });
            newest.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| b.id.cmp(&a.id)));
            newest.truncate(NEWEST);
        })
        .await?;
    Ok(DeadLetters { by_reason, more: false, newest: newest.into_values().flatten().collect(), queue: None })
}
