//! Runs a setting: its race, and what is measured in each period.

use std::thread;
use std::time::Duration;

use paceline_testbed::clock::Clock;
use paceline_testbed::mapping::{Live, Mapping};

use crate::deployment::{Deployment, Parts};
use crate::log::{self, LogClock};
use crate::measures::{Measures, Period};
use crate::producers;
use crate::recorder::Recorder;
use crate::setting::Setting;

/// When each race begins: 2026-11-26T18:40:00Z, the beginning of a window of five minutes and of fifteen seconds.
const START_MS: i64 = 1_795_718_400_000;

/// Runs a setting; `each` gets each period when it is over.
///
/// # Panics
///
/// If a part is missing, or the function does not start.
pub fn run(parts: &Parts, setting: &Setting, each: &mut dyn FnMut(&Period)) -> Measures {
    let sent = producers::send(setting, START_MS);
    let deployment = Deployment::new(parts, setting);
    let clock = Clock::new(START_MS, setting.speed);
    let log_clock = LogClock::new(&clock);
    let recorder = Recorder::new(&deployment.function, clock);
    let end_ms = START_MS + i64::from(setting.seconds) * 1_000;
    let until_ms = end_ms + i64::from(setting.drain_seconds()) * 1_000;
    let mut measures = Measures { start_ms: START_MS, ..Measures::default() };
    let mut before = deployment.writes();
    let mut period = |until_seconds: u32| {
        let now = deployment.writes();
        let (table, index) = (now.0.since(before.0), now.1.since(before.1));
        before = now;
        let puts = sent.puts.get((until_seconds / setting.period_seconds).saturating_sub(1) as usize);
        Period { until_seconds, puts: puts.copied().unwrap_or_default(), invocations: recorder.take(), table, index }
    };
    thread::scope(|scope| {
        let (stream, recorder) = (&sent.stream, &recorder);
        let mapping = scope.spawn(move || mapping(setting, clock, until_ms).run(stream, recorder));
        for number in 1..=setting.seconds / setting.period_seconds {
            let until_seconds = number * setting.period_seconds;
            clock.wait_until(START_MS + i64::from(until_seconds) * 1_000);
            let measured = period(until_seconds);
            each(&measured);
            measures.periods.push(measured);
        }
        // The mapping's panic names what is wrong.
        mapping.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    measures.drain = Period { puts: Default::default(), ..period(setting.seconds + setting.drain_seconds()) };
    let period_ms = i64::from(setting.period_seconds) * 1_000;
    measures.counts = log::counts(&deployment.function.logs(), log_clock, START_MS, period_ms);
    measures
}

fn mapping<F>(setting: &Setting, clock: Clock, until_ms: i64) -> Mapping<F> {
    Mapping {
        batch_size: setting.batch_size,
        parallelization_factor: setting.factor,
        tumbling_window: (setting.tumbling_seconds > 0).then_some(setting.tumbling_seconds),
        bisect: false,
        report_batch_item_failures: true,
        timeout: Duration::from_secs_f64(f64::from(setting.timeout_seconds) / setting.speed),
        live: Some(Live {
            clock,
            poll_ms: setting.poll_ms(),
            batching_window_ms: i64::from(setting.batching_window_seconds) * 1_000,
            until_ms,
        }),
        max_concurrency: setting.queues(),
        max_failures_in_a_row: u32::MAX,
        ..Mapping::default()
    }
}
