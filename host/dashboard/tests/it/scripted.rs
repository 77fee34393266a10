//! A source whose answers a test sets.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use paceline_dashboard::status::{DeadLetter, DeadLetterSummary, Leaderboard, Part, Payload, RaceKey};
use paceline_dashboard::{Source, Status};

/// A source whose answers a test sets.
pub(crate) struct Scripted {
    status: Mutex<Status>,
    asked: AtomicUsize,
}

/// A payload that would be a script if it were not escaped.
pub(crate) const HOSTILE: &str =
    r#"{"name":"</pre><script>document.title='owned'</script><img src=x onerror=alert(1)>"}"#;

impl Scripted {
    pub(crate) fn new(status: Status) -> Self {
        Self { status: Mutex::new(status), asked: AtomicUsize::new(0) }
    }

    /// What is observed from now on.
    #[allow(dead_code, reason = "the example shows one status only")]
    pub(crate) fn change(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// How often the status was asked for.
    #[allow(dead_code, reason = "the example does not count")]
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Source for Scripted {
    async fn status(&self) -> Status {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn leaderboard(&self, race: &RaceKey) -> Part<Leaderboard> {
        if race.class == "6" {
            return Part::unknown("the table does not answer");
        }
        let names = ["Ana", "Ines", "Hubert", "Mei", "Oluwaseun", "Ravi", "Sofía", "Tom", "Ursula", "Yusuf"];
        let row = |at: usize| vec![names[at].to_owned(), (100 + at * 7).to_string(), format!("{}", 188.75 - at as f64)];
        let columns = ["name", "racerId", "output"].map(str::to_owned);
        Leaderboard { columns: columns.into(), rows: (0..names.len()).map(row).collect(), total: 1_000 }.into()
    }

    async fn dead_letter(&self, id: &str) -> Part<Option<DeadLetter>> {
        if id == "unreadable" {
            return Part::unknown("the table does not answer");
        }
        let letters = self.status().await.dead_letters;
        let listed = letters.known().and_then(|letters| letters.newest.iter().find(|letter| letter.id == id).cloned());
        let hostile = DeadLetterSummary {
            id: "hostile:1".to_owned(),
            reason: "rejected".to_owned(),
            message: "<i>no</i>".to_owned(),
            time: None,
        };
        let summary = listed.or((id == hostile.id).then_some(hostile));
        Part::Known(summary.map(|summary| DeadLetter {
            summary,
            field: Some("/cadence".to_owned()),
            rulebook: Some("flat@2".to_owned()),
            plugin: Some(format!("sha256:{:064}", 7)),
            partition_key: Some("58421907".to_owned()),
            unsure: false,
            cut_from: None,
            payload: Payload::Text(HOSTILE.to_owned()),
        }))
    }
}
