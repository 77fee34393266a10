//! What was observed of one deployment. It is a document: `paceline doctor --record` writes it, and `--from` reads it.
//!
//! - `stream`, `function`, `table`, `rules`, `dead_letters`: settings and state, as they were when it was recorded.
//! - `series`: quantities over time.
//! - `timestamp`: milliseconds, written as RFC 3339.

mod dead_letters;
mod document;
mod function;
mod lookup;
mod points;
mod rules;
mod series;
mod stream;
mod table;
mod timestamp;

use serde::{Deserialize, Serialize};

pub use dead_letters::{DeadLetter, DeadLetters, Queue};
pub use document::ReadError;
pub use function::{Function, Mapping};
pub use lookup::{Course, Selection};
pub use rules::{HostState, PluginLimits, RaceTypeRules, Rules, Trial};
pub use series::{Metric, Namespace, Point, Series, Statistic};
pub use stream::{Consumer, Shard, Stream, StreamMode};
pub use table::{Capacity, Index, Table};
pub use timestamp::Timestamp;

/// The format of the document.
pub const FORMAT: u32 = 1;

/// What was observed of one deployment.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct History {
    /// The document's format: [`FORMAT`].
    pub format: u32,
    /// The first instant that the series cover.
    pub since: Timestamp,
    /// The last one: when the settings were read.
    pub until: Timestamp,
    /// The deployment's region, for commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The configuration file, for commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// The stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<Stream>,
    /// The function that reads it, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<Function>,
    /// The tables: that of groups, and that of dead letters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<Table>,
    /// What race types run, and which hosts follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Rules>,
    /// Records that could not be processed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<DeadLetters>,
    /// Quantities over time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<Series>,
    /// What could not be read, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unavailable: Vec<Unavailable>,
}

/// What [`Unavailable::what`] is where nothing but hosts was read in time.
pub const ALL_BUT_HOSTS: &str = "AWS, the rules and the store";

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Unavailable {
    /// What: `stream alleycat`, `function alleycat`, `metrics of CloudWatch`.
    pub what: String,
    /// The action that an operator lacks, such as `kinesis:ListShards`, if that is the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission: Option<String>,
    /// Why, with its causes.
    pub reason: String,
    /// Whether it was left out by a limit of the doctor's own. Nothing has failed then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_limit: bool,
}

impl History {
    /// A history of a span in which nothing was observed.
    #[must_use]
    pub fn new(since: Timestamp, until: Timestamp) -> Self {
        Self {
            format: FORMAT,
            since,
            until,
            region: None,
            config: None,
            stream: None,
            function: None,
            tables: Vec::new(),
            rules: None,
            dead_letters: None,
            series: Vec::new(),
            unavailable: Vec::new(),
        }
    }
}
