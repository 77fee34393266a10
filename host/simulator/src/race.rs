//! The parameters of a race.

use serde::Deserialize;

/// The number of racers in the sample, each with bounds.
pub(crate) const MAX_RACERS: u32 = 1_000;
/// The longest race in seconds: a day.
const MAX_SECONDS: u32 = 86_400;
/// The length of a race's time window. A race's id is the number of its window since 1970.
pub(crate) const WINDOW_MS: u64 = 300_000;
/// The last race whose timestamps stay far below the limit of 63 bits.
const MAX_RACE: u64 = i64::MAX as u64 / WINDOW_MS / 2;

/// How racers' messages are keyed, which determines the order in which a reader of many shards receives them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum PartitionKey {
    /// By racer: each racer's messages stay in order.
    #[default]
    Racer,
    /// At random, as the sample's producers do: messages of consecutive seconds overtake each other.
    Random,
}

/// A race to simulate.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Race {
    /// The number of racers, up to 1,000.
    #[cfg_attr(feature = "clap", arg(long))]
    pub racers: u32,
    /// The length of the race in seconds.
    #[cfg_attr(feature = "clap", arg(long))]
    pub seconds: u32,
    /// The class.
    #[cfg_attr(feature = "clap", arg(long))]
    pub class: u32,
    /// The race's id: the number of its five-minute window since 1970.
    #[cfg_attr(feature = "clap", arg(long))]
    pub race: u64,
    /// Seed of the racers' form on the day.
    #[cfg_attr(feature = "clap", arg(long))]
    pub seed: u32,
    /// How messages are keyed; with `random`, messages of consecutive seconds overtake each other.
    #[cfg_attr(feature = "clap", arg(long, value_enum, default_value = "racer"))]
    #[serde(default)]
    pub key: PartitionKey,
    /// Broken messages to mix in, in percent of the valid ones.
    #[cfg_attr(feature = "clap", arg(long, default_value_t = 0.0))]
    #[serde(default)]
    pub errors: f64,
    /// Valid messages to send twice, in percent.
    #[cfg_attr(feature = "clap", arg(long, default_value_t = 0.0))]
    #[serde(default)]
    pub duplicates: f64,
}

/// A parameter that is out of range. Its message begins with the parameter's name.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum RaceError {
    /// The number of racers.
    #[error("racers is {0}, not within 1 and {MAX_RACERS}")]
    Racers(u32),
    /// The length.
    #[error("seconds is {0}, not within 1 and {MAX_SECONDS}")]
    Seconds(u32),
    /// The race's id.
    #[error("race is {0}, not within 0 and {MAX_RACE}")]
    Race(u64),
    /// The share of broken messages.
    #[error("errors is {0}, not within 0 and 100")]
    Errors(f64),
    /// The share of repeated messages.
    #[error("duplicates is {0}, not within 0 and 100")]
    Duplicates(f64),
}

impl Race {
    /// Checks that the race can be simulated.
    ///
    /// # Errors
    ///
    /// If a parameter is out of range.
    pub fn check(&self) -> Result<(), RaceError> {
        let is_percentage = |value: f64| (0.0..=100.0).contains(&value);
        if !(1..=MAX_RACERS).contains(&self.racers) {
            return Err(RaceError::Racers(self.racers));
        }
        if !(1..=MAX_SECONDS).contains(&self.seconds) {
            return Err(RaceError::Seconds(self.seconds));
        }
        if self.race > MAX_RACE {
            return Err(RaceError::Race(self.race));
        }
        if !is_percentage(self.errors) {
            return Err(RaceError::Errors(self.errors));
        }
        if !is_percentage(self.duplicates) {
            return Err(RaceError::Duplicates(self.duplicates));
        }
        Ok(())
    }
}
