//! Processor time and memory of this process.

use std::fs;

use serde::{Deserialize, Serialize};

/// What records cost.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Cost {
    records: u64,
    cpu_ns: u64,
    /// Resident memory before the rules were loaded, and at its peak.
    before_mb: f64,
    peak_mb: f64,
}

impl Cost {
    pub(super) fn cpu_ns_per_record(&self) -> f64 {
        self.cpu_ns as f64 / self.records as f64
    }

    /// The peak beyond the memory before the rules were loaded.
    pub(super) fn memory_mb(&self) -> f64 {
        self.peak_mb - self.before_mb
    }
}

/// Measures from here on.
pub(super) struct Meter {
    before_mb: f64,
    cpu_ns_before: u64,
}

impl Meter {
    /// Call it before the rules are loaded: their memory counts.
    pub(super) fn start() -> Self {
        Self { before_mb: memory_mb("VmRSS:"), cpu_ns_before: 0 }
    }

    /// Processor time counts from here on.
    pub(super) fn start_clock(&mut self) {
        self.cpu_ns_before = processor_time_ns();
    }

    pub(super) fn stop(self, records: u64) -> Cost {
        let cpu_ns = processor_time_ns() - self.cpu_ns_before;
        Cost { records, cpu_ns, before_mb: self.before_mb, peak_mb: memory_mb("VmHWM:") }
    }
}

/// The processor time of all threads, in nanoseconds: those that end before the meter stops would be missing, but these
/// processes keep theirs.
fn processor_time_ns() -> u64 {
    let threads = fs::read_dir("/proc/self/task").expect("Linux provides it");
    let time = |thread: std::io::Result<fs::DirEntry>| {
        // A thread may end between both calls.
        let counts = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        counts.split(' ').next()?.parse::<u64>().ok()
    };
    threads.filter_map(time).sum()
}

fn memory_mb(field: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux provides it");
    let kib = status.lines().find_map(|line| line.strip_prefix(field)?.trim().strip_suffix(" kB")?.parse().ok());
    kib.unwrap_or(0.0) * 1024.0 / 1e6
}
