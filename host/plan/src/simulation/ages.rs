//! How old messages are when they are committed.

use serde::Serialize;

/// Ages in seconds: from a message's arrival to its commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ages {
    /// The mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// 99 of 100 messages are younger.
    pub p99: f64,
    /// The highest.
    pub highest: f64,
}

/// Pieces into which the ages of a batch are divided: they fall evenly from its oldest message to its newest.
const PIECES: u32 = 16;

/// The ages of committed messages.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples {
    ages: Vec<(f64, f64)>,
    sum: f64,
    messages: f64,
    highest: f64,
}

impl Samples {
    /// Messages whose ages lie evenly between these.
    pub(super) fn add(&mut self, messages: u64, oldest: f64, newest: f64) {
        let messages = messages as f64;
        self.sum += messages * (oldest + newest) / 2.0;
        self.messages += messages;
        self.highest = self.highest.max(oldest);
        for piece in 0..PIECES {
            let part = (f64::from(piece) + 0.5) / f64::from(PIECES);
            self.ages.push((newest + (oldest - newest) * part, messages / f64::from(PIECES)));
        }
    }

    pub(super) fn ages(mut self) -> Ages {
        if self.messages <= 0.0 {
            return Ages::default();
        }
        self.ages.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let percentile = |part: f64| {
            let mut left = self.messages * part;
            let found = self.ages.iter().find(|(_, messages)| {
                left -= messages;
                left <= 0.0
            });
            found.map_or(self.highest, |(age, _)| *age)
        };
        Ages { mean: self.sum / self.messages, p50: percentile(0.5), p99: percentile(0.99), highest: self.highest }
    }
}
