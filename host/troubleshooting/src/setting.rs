//! A deployment, and what a phase of the article changes of it.

/// A deployment and its race.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// Its name, which is that of its history.
    pub name: &'static str,
    /// What it changes of the article's, in words.
    pub change: &'static str,
    /// Racers, each with a message a second.
    pub racers: u32,
    /// Seconds of the race.
    pub seconds: u32,
    /// Seconds of a period of metrics.
    pub period_seconds: u32,
    /// How many of its seconds are one of the machine's.
    pub speed: f64,
    /// Whether a message's partition key is its racer. Otherwise it is random, as the sample's is.
    pub keys_by_racer: bool,
    /// Whether producers pack messages into aggregates of the KPL.
    pub packed: bool,
    /// Whether the rulebook packs groups, so that a batch writes a few shared items.
    pub packed_groups: bool,
    /// Shards of the stream.
    pub shards: usize,
    /// Whether the mapping reads by a fan-out consumer.
    pub fan_out: bool,
    /// The maximum records of a batch.
    pub batch_size: usize,
    /// Seconds that the mapping waits for a full batch.
    pub batching_window_seconds: u32,
    /// Seconds of a tumbling window; 0 for none.
    pub tumbling_seconds: u32,
    /// Concurrent batches of a shard.
    pub factor: usize,
    /// Whether the mapping counts events, and keeps the positions of what it drops.
    pub guarded: bool,
    /// The function's time-out.
    pub timeout_seconds: u32,
    /// Write units a second of the table.
    pub table_units: u32,
    /// Write units a second of its index.
    pub index_units: u32,
    /// The part of the burst credit that is there at the beginning.
    pub credit: f64,
    /// Milliseconds that a request of the table takes, if it does not take longer here.
    pub table_latency_ms: u32,
}

/// The article's: 1,000 racers, one shard, batches of 1,000, 15 s, 20 write units and 10 of the index.
pub fn article() -> Setting {
    Setting {
        name: "article",
        change: "as the article has it",
        racers: 1_000,
        seconds: 180,
        period_seconds: 15,
        speed: 4.0,
        keys_by_racer: false,
        packed: false,
        packed_groups: false,
        shards: 1,
        fan_out: false,
        batch_size: 1_000,
        batching_window_seconds: 0,
        tumbling_seconds: 0,
        factor: 1,
        guarded: false,
        timeout_seconds: 15,
        table_units: 20,
        index_units: 10,
        credit: 1.0,
        table_latency_ms: 0,
    }
}

/// Each remedy, applied to the article's setting, after its burst credit is used up.
pub fn remedies() -> Vec<Setting> {
    let after = Setting { seconds: 75, credit: 0.0, ..article() };
    vec![
        Setting { name: "packed", change: "producers pack messages into records of 50 KB", packed: true, ..after },
        Setting { name: "resharded-2", change: "2 shards", shards: 2, ..after },
        Setting { name: "resharded-4", change: "4 shards", shards: 4, ..after },
        Setting { name: "factor", change: "parallelization factor 10", factor: 10, ..after },
        Setting { name: "fan-out", change: "a fan-out consumer", fan_out: true, ..after },
        Setting {
            name: "capacity",
            change: "1,500 write units, for the index too",
            seconds: 30,
            period_seconds: 10,
            // A thousand items a second are about what DynamoDB Local takes.
            speed: 0.8,
            table_units: 1_500,
            index_units: 1_500,
            ..after
        },
        Setting {
            name: "larger-batches",
            change: "400 write units, batches of up to 10,000 messages in 5 s",
            speed: 3.0,
            batch_size: 10_000,
            batching_window_seconds: 5,
            table_units: 400,
            index_units: 400,
            ..after
        },
        Setting {
            name: "packed-groups",
            change: "groups packed into 4 items, 100 write units, for the index too",
            speed: 3.0,
            packed_groups: true,
            table_units: 100,
            index_units: 100,
            ..after
        },
    ]
}

/// What the doctor finds nothing wrong with: packed messages, tumbling windows, and units for them.
pub fn sound() -> Setting {
    Setting {
        name: "sound",
        change: "packed, tumbling windows of 15 s, 150 write units, 60 s",
        seconds: 120,
        speed: 5.0,
        packed: true,
        tumbling_seconds: 15,
        guarded: true,
        timeout_seconds: 60,
        table_units: 150,
        index_units: 150,
        credit: 0.0,
        ..article()
    }
}

impl Setting {
    /// The most batches at once.
    pub fn queues(&self) -> usize {
        self.shards * self.factor
    }

    /// Seconds after the race within which its last messages are committed.
    pub fn drain_seconds(&self) -> u32 {
        // A window that the race ends in, a poll, and a batch.
        self.tumbling_seconds + self.batching_window_seconds + 5
    }

    /// Seconds on the wall that the phase lasts, beside the start of its parts.
    pub fn wall_seconds(&self) -> f64 {
        f64::from(self.seconds + self.drain_seconds()) / self.speed
    }

    /// Milliseconds between two polls of a shard: Lambda polls once a second; a fan-out consumer gets records at once.
    pub(crate) fn poll_ms(&self) -> i64 {
        if self.fan_out { 70 } else { 1_000 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds of `make troubleshooting`, and those for the starts of functions and tables.
    const ALL_SECONDS: f64 = 300.0;
    const STARTS_SECONDS: f64 = 25.0;

    #[test]
    fn the_article_and_its_remedies_take_less_than_five_minutes() {
        let phases: Vec<Setting> = [article()].into_iter().chain(remedies()).chain([sound()]).collect();
        let seconds: f64 = phases.iter().map(Setting::wall_seconds).sum();
        assert!(seconds < ALL_SECONDS - STARTS_SECONDS, "{seconds}");
        for phase in phases {
            assert_eq!(phase.seconds % phase.period_seconds, 0, "{}: its last period is cut", phase.name);
            assert!(phase.seconds / phase.period_seconds >= 3, "{}: no growth can be seen", phase.name);
        }
    }
}
