//! What the dashboard shows, as the document `/status.json`.
//!
//! - `part`: a part of it, or why it is unknown.
//! - `verdict`: what is wrong, and what to do.
//! - `stream`: the shards and how far they are read.
//! - `history`: quantities over the last minutes.
//! - `dead_letters`, `rules`, `leaderboard`: as their names say.

mod dead_letters;
mod history;
mod leaderboard;
mod part;
mod rules;
mod stream;
mod verdict;

use paceline_doctor::Timestamp;
use serde::{Deserialize, Serialize};

pub use dead_letters::{DeadLetter, DeadLetterSummary, DeadLetters, Payload};
pub use history::{Graph, History, Series};
pub use leaderboard::{Leaderboard, RaceKey};
pub use part::Part;
pub use rules::{Candidate, CandidateMode, Figures, Host, Pinned, RaceType, Rules};
pub use stream::{Lag, Shard, ShardState, Stream};
pub use verdict::{Finding, Severity, Verdict};

/// What is known of a deployment at one moment.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Status {
    /// When it was observed.
    pub time: Timestamp,
    /// What is shown: the stream's or the function's name.
    pub deployment: String,
    /// Where the figures come from, such as `paceline run` or `CloudWatch of us-east-1`.
    pub origin: String,
    /// The doctor's verdict.
    pub verdict: Part<Verdict>,
    /// The stream that is read.
    pub stream: Part<Stream>,
    /// Quantities over the last minutes.
    pub history: Part<History>,
    /// Records that could not go on.
    pub dead_letters: Part<DeadLetters>,
    /// What race types run, and which hosts follow.
    pub rules: Part<Rules>,
    /// The races whose leaderboards can be chosen, the newest first.
    pub races: Part<Vec<RaceKey>>,
}
