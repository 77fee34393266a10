//! Many seeds, on as many threads as the machine has processors.

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::finding::Finding;
use crate::plan::{KnobError, Plan};
use crate::plant::Plant;
use crate::run::{Options, run_twice};
use crate::setup::Setup;

/// Which seeds, and how.
#[derive(Clone, Debug)]
pub struct Torture {
    /// The first seed.
    pub seed: u64,
    /// How many seeds, one after another. There are none after the greatest number.
    pub seeds: u64,
    /// Knobs that are set in every plan.
    pub settings: Vec<(String, u32)>,
    /// The planted bug.
    pub options: Options,
}

/// A seed that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed's plan.
    pub plan: Plan,
    /// What is wrong.
    pub finding: Finding,
}

/// What seeds have shown.
#[derive(Clone, Debug)]
pub struct Report {
    /// The first seed that failed. Those after it may not have run.
    pub failure: Option<Failure>,
    /// Seeds that ran, each twice.
    pub ran: u64,
    /// How long they took.
    pub took: Duration,
}

impl Report {
    /// Seeds in a minute.
    pub fn seeds_per_minute(&self) -> f64 {
        self.ran as f64 * 60.0 / self.took.as_secs_f64().max(1e-9)
    }
}

impl Torture {
    /// The plan of a seed, without the settings.
    pub fn drawn(&self, seed: u64) -> Plan {
        let mut plan = Plan::draw(seed);
        for (name, value) in self.options.plant.map_or(&[][..], Plant::knobs) {
            plan.set(name, *value).expect("a planted bug names knobs that there are");
        }
        plan
    }

    /// The plan of a seed.
    pub fn plan(&self, seed: u64) -> Result<Plan, KnobError> {
        let mut plan = self.drawn(seed);
        for (name, value) in &self.settings {
            plan.set(name, *value)?;
        }
        Ok(plan)
    }

    /// Runs the seeds until one fails.
    pub fn run(&self, setup: &Arc<Setup>) -> Result<Report, KnobError> {
        self.plan(self.seed)?;
        let began = Instant::now();
        // Counted from the first seed on: a sum would wrap at the last number, and begin again.
        let (next, ran, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(self.seeds));
        let failures: Mutex<Vec<Failure>> = Mutex::default();
        let work = || {
            loop {
                let nth = next.fetch_add(1, Ordering::Relaxed);
                if nth >= stop.load(Ordering::Relaxed) {
                    return;
                }
                let Some(seed) = self.seed.checked_add(nth) else { return };
                let Ok(plan) = self.plan(seed) else { return };
                let outcome = run_twice(setup, &plan, self.options);
                ran.fetch_add(1, Ordering::Relaxed);
                if let Some(finding) = outcome.finding {
                    stop.fetch_min(nth, Ordering::Relaxed);
                    failures.lock().unwrap_or_else(PoisonError::into_inner).push(Failure { plan, finding });
                }
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
        let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
        let failure = failures.into_iter().min_by_key(|failure| failure.plan.seed);
        Ok(Report { failure, ran: ran.into_inner(), took: began.elapsed() })
    }
}
