//! What the dashboard shows, from what is observed of a deployment.
//!
//! - `status`: the document's parts.
//! - `charts`: quantities over time.

mod charts;
mod status;

use std::sync::Arc;

use async_trait::async_trait;
use paceline_config::Config;
use paceline_dashboard::Source;
use paceline_dashboard::status::{DeadLetter, DeadLetterSummary, Leaderboard, Part, Payload, RaceKey, Status};
use paceline_doctor::Timestamp;
use paceline_engine::Digest;
use paceline_pipeline::ErrorChain;
use paceline_pipeline::model::DeadLetter as Letter;
use paceline_pipeline::store::DeadLetterStore;
use tokio::sync::Mutex;

use crate::commands::leaderboard::standings;
use crate::observer::{Observer, SharedStore};
use crate::report;

/// Rows of a leaderboard that are shown.
const ROWS: usize = 50;

/// A deployment, observed as long as somebody looks.
pub(crate) struct Live {
    observer: Mutex<Observer>,
    store: Option<SharedStore>,
    config: Option<Arc<Config>>,
    /// Where the figures come from, in words.
    origin: String,
}

impl Live {
    pub(crate) fn new(observer: Observer, config: Option<Arc<Config>>, origin: String) -> Self {
        Self { store: observer.store(), observer: Mutex::new(observer), config, origin }
    }

    fn no_store<T>(&self) -> Part<T> {
        Part::unknown("the configuration names no store that can be read: use --config FILE")
    }

    async fn read_leaderboard(&self, race: &RaceKey) -> anyhow::Result<Option<Leaderboard>> {
        let (Some(config), Some(store)) = (&self.config, &self.store) else { return Ok(None) };
        let standings = standings(config, store.get(), &race.class, race.race.as_deref()).await?;
        let rows = standings.items.iter().take(ROWS).map(|item| {
            standings.board.show.iter().map(|shown| report::text(item.attribute(&shown.attribute))).collect()
        });
        Ok(Some(Leaderboard {
            columns: standings.board.show.iter().map(|shown| shown.name.clone()).collect(),
            rows: rows.collect(),
            total: standings.items.len() as u64,
        }))
    }
}

#[async_trait]
impl Source for Live {
    async fn status(&self) -> Status {
        match self.observer.lock().await.observe().await {
            Ok(observed) => status::status(&observed, &self.origin, self.config.as_deref()),
            Err(error) => status::unknown(&self.origin, &ErrorChain(error.as_ref()).to_string()),
        }
    }

    async fn leaderboard(&self, race: &RaceKey) -> Part<Leaderboard> {
        match self.read_leaderboard(race).await {
            Ok(Some(leaderboard)) => leaderboard.into(),
            Ok(None) => self.no_store(),
            Err(error) => Part::unknown(ErrorChain(error.as_ref()).to_string()),
        }
    }

    async fn dead_letter(&self, id: &str) -> Part<Option<DeadLetter>> {
        let Some(store) = &self.store else { return self.no_store() };
        match store.get().get_dead_letter(id).await {
            Ok(letter) => letter.map(shown).into(),
            Err(error) => Part::unknown(ErrorChain(&error).to_string()),
        }
    }
}

/// A dead letter as the dashboard shows it.
fn shown(letter: Letter) -> DeadLetter {
    let payload = match String::from_utf8(letter.payload) {
        Ok(text) => Payload::Text(text),
        Err(error) => Payload::Hex(error.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()),
    };
    DeadLetter {
        summary: DeadLetterSummary {
            id: letter.id,
            reason: letter.reason.cause.to_string(),
            message: letter.reason.text,
            time: letter.arrival_ms.and_then(|ms| u64::try_from(ms).ok()).map(Timestamp),
        },
        field: letter.reason.field,
        rulebook: letter.reason.rulebook.map(|(name, version)| format!("{name}@{version}")),
        plugin: letter.reason.plugin.map(|digest| Digest::from(digest).to_string()),
        partition_key: letter.partition_key,
        unsure: letter.unsure,
        cut_from: letter.cut_from,
        payload,
    }
}
