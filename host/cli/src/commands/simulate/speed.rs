//! How fast a race is simulated.

use std::time::Duration;

/// The speed of a race.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Speed {
    Max,
    #[value(name = "1x")]
    Real,
    #[value(name = "10x")]
    TenTimes,
}

impl Speed {
    /// How long a second of the race takes; `None` for no pause at all.
    pub(super) fn second_takes(self) -> Option<Duration> {
        match self {
            Self::Max => None,
            Self::Real => Some(Duration::from_secs(1)),
            Self::TenTimes => Some(Duration::from_millis(100)),
        }
    }
}
