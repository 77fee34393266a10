//! The newest status with its page. Everybody who looks shares it, so that the source is asked once in an interval.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::page::{self, Charts, Section};
use crate::source::Source;
use crate::status::{Leaderboard, Part, RaceKey, Status};

/// Leaderboards that are kept: those of the races that people look at just now.
const MAX_BOARDS: usize = 32;

/// The newest status, and the leaderboards that somebody looks at.
pub(crate) struct Snapshots {
    source: Arc<dyn Source>,
    refresh: Duration,
    board_for: Duration,
    newest: Mutex<Option<Arc<Snapshot>>>,
    boards: Mutex<HashMap<RaceKey, Place>>,
}

/// A status with its sections.
pub(crate) struct Snapshot {
    pub(crate) status: Status,
    pub(crate) sections: Vec<Section>,
    pub(crate) title: String,
    /// What the script draws.
    pub(crate) charts: Box<RawValue>,
    taken: Instant,
}

/// A leaderboard.
pub(crate) struct Board {
    pub(crate) part: Part<Leaderboard>,
    taken: Instant,
}

/// Where a leaderboard is kept, once it was read.
type Place = Arc<Mutex<Option<Arc<Board>>>>;

/// What one reader sees: the status, and the leaderboard of the race that it has chosen.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) chosen: Option<RaceKey>,
    pub(crate) board: Option<Arc<Board>>,
    pub(crate) leaderboard: Section,
}

/// The page could not be rendered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenderError {
    /// By a template.
    #[error("the page can't be rendered: {0}")]
    Template(#[from] askama::Error),
    /// As JSON.
    #[error("the figures can't be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl Snapshots {
    pub(crate) fn new(source: Arc<dyn Source>, refresh: Duration, board_for: Duration) -> Self {
        Self { source, refresh, board_for, newest: Mutex::default(), boards: Mutex::default() }
    }

    /// What a reader sees who has chosen this race; without a choice, the newest race.
    pub(crate) async fn view(&self, chosen: Option<RaceKey>) -> Result<View, RenderError> {
        let snapshot = self.newest().await?;
        let first = || snapshot.status.races.known().and_then(|races| races.first().cloned());
        let chosen = chosen.or_else(first);
        let board = match &chosen {
            Some(race) => Some(self.board(race).await),
            None => None,
        };
        let part = board.as_ref().map(|board| &board.part);
        let leaderboard = page::leaderboard(&snapshot.status, chosen.as_ref(), part)?;
        Ok(View { snapshot, chosen, board, leaderboard })
    }

    async fn newest(&self) -> Result<Arc<Snapshot>, RenderError> {
        // Held while the source is asked: whoever comes meanwhile waits for the same answer.
        let mut newest = self.newest.lock().await;
        if let Some(snapshot) = newest.as_ref().filter(|snapshot| snapshot.taken.elapsed() < self.refresh) {
            return Ok(Arc::clone(snapshot));
        }
        let snapshot = Arc::new(Snapshot::new(self.source.status().await)?);
        *newest = Some(Arc::clone(&snapshot));
        Ok(snapshot)
    }

    async fn board(&self, race: &RaceKey) -> Arc<Board> {
        let place = self.place(race).await;
        // Held while the source is asked, for this race alone.
        let mut kept = place.lock().await;
        let for_now = self.board_for.max(self.refresh);
        if let Some(board) = kept.as_ref().filter(|board| board.taken.elapsed() < for_now) {
            return Arc::clone(board);
        }
        let board = Arc::new(Board { part: self.source.leaderboard(race).await, taken: Instant::now() });
        *kept = Some(Arc::clone(&board));
        board
    }

    /// Where the board of a race is kept. If there are too many, all are forgotten: those that are looked at come again.
    async fn place(&self, race: &RaceKey) -> Place {
        let mut boards = self.boards.lock().await;
        if boards.len() >= MAX_BOARDS && !boards.contains_key(race) {
            boards.clear();
        }
        Arc::clone(boards.entry(race.clone()).or_default())
    }
}

impl Snapshot {
    fn new(status: Status) -> Result<Self, RenderError> {
        let charts = Charts::new(&status);
        let sections = page::sections(&status, &charts)?;
        let charts = RawValue::from_string(charts.to_json()?)?;
        Ok(Self { sections, title: page::title(&status), charts, taken: Instant::now(), status })
    }
}
