//! Dead letters by reason, and the newest of each.

use std::collections::BTreeMap;
use std::time::Duration;

use paceline_config::AnyStore;
use paceline_doctor::Timestamp;
use paceline_doctor::history::{DeadLetter, DeadLetters};
use paceline_pipeline::model::DeadLetter as Letter;
use paceline_pipeline::store::DeadLetterStore;
use tokio::time::timeout;

/// Of each reason.
const NEWEST: usize = 3;
/// Letters that were not counted in this time are reported as more.
const WITHIN: Duration = Duration::from_secs(5);

/// Counts them and keeps few.
pub(super) async fn read(store: &AnyStore) -> anyhow::Result<DeadLetters> {
    let mut found = Found::default();
    let more = match timeout(WITHIN, store.scan_dead_letters(|letter| found.add(letter))).await {
        Ok(scanned) => {
            scanned?;
            false
        }
        Err(_) => true,
    };
    let newest = found.newest.into_values().flatten().collect();
    Ok(DeadLetters { by_reason: Some(found.by_reason), more, newest, queue: None })
}

#[derive(Default)]
struct Found {
    by_reason: BTreeMap<String, u64>,
    newest: BTreeMap<String, Vec<DeadLetter>>,
}

impl Found {
    fn add(&mut self, letter: Letter) {
        let reason = letter.reason.cause.to_string();
        *self.by_reason.entry(reason.clone()).or_default() += 1;
        let newest = self.newest.entry(reason.clone()).or_default();
        let at = letter.arrival_ms.and_then(|ms| u64::try_from(ms).ok()).map(Timestamp);
        let rulebook = letter.reason.rulebook.map(|(name, version)| format!("{name}@{version}"));
        newest.push(DeadLetter { id: letter.id, reason, message: letter.reason.text, rulebook, at });
        newest.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| b.id.cmp(&a.id)));
        newest.truncate(NEWEST);
    }
}
