//! What `paceline plan` predicts, and what is measured with the parts of this machine.
//!
//! The times of the work are measured first, with the same function and the same table, so that what is compared is the
//! model and not the machine. A request of the table has a latency that is longer than DynamoDB Local needs for it: Amazon's
//! table does not become slower by another batch, and DynamoDB Local, which shares the processors of this machine, does.
//! Nothing is throttled: the table has units for all.

use paceline_plan::{
    Aggregate, Assumptions, Consumer, Deployment, Function, Keys, Load, Packing, Plan, TableMode, Targets, Work,
};

use crate::deployment::Parts;
use crate::measures::Measures;
use crate::phase;
use crate::setting::{Setting, article};

/// How far a prediction may be from what was measured, as a part of that.
pub const TOLERANCE: f64 = 0.2;

/// A figure that was predicted and measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// By the plan.
    pub predicted: f64,
    /// Here.
    pub measured: f64,
}

impl Pair {
    /// How far the prediction is from what was measured, as a part of that.
    pub fn deviation(&self) -> f64 {
        self.predicted / self.measured - 1.0
    }

    /// Whether the prediction is within a part of what was measured. What is no number is not.
    pub fn holds(&self, tolerance: f64) -> bool {
        self.deviation().abs() <= tolerance
    }
}

/// A setting with its figures.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// The setting, in words.
    pub name: &'static str,
    /// Write units of table and index for 1,000 messages.
    pub units: Pair,
    /// Seconds of a batch on average.
    pub duration: Pair,
    /// Seconds from a record's arrival to its commit, on average.
    pub age: Pair,
}

impl Compared {
    /// The figures that deviate by more than [`TOLERANCE`], in words.
    pub fn misses(&self) -> Vec<String> {
        let figures = [("number of units", self.units), ("mean duration", self.duration), ("mean age", self.age)];
        let misses = figures.into_iter().filter(|(_, pair)| !pair.holds(TOLERANCE));
        let words = |(figure, pair): (&str, Pair)| {
            format!("{}: the {figure} deviates by {:+.0} %", self.name, pair.deviation() * 100.0)
        };
        misses.map(words).collect()
    }
}

/// The settings that are compared.
pub fn settings() -> Vec<Setting> {
    // A load that leaves this machine time, of which DynamoDB Local needs most: a write of 25 items takes it some 30 ms.
    let base = Setting {
        racers: 50,
        seconds: 60,
        period_seconds: 10,
        speed: 1.0,
        keys_by_racer: true,
        guarded: true,
        timeout_seconds: 60,
        table_units: 40_000,
        index_units: 40_000,
        table_latency_ms: 100,
        ..article()
    };
    vec![
        Setting { name: "every second", change: "1 shard, every second", ..base },
        Setting {
            name: "windows",
            change: "1 shard, batching window 5 s",
            batching_window_seconds: 5,
            batch_size: 10_000,
            ..base
        },
        Setting { name: "tumbling", change: "1 shard, tumbling window 15 s", tumbling_seconds: 15, ..base },
        Setting { name: "two shards", change: "2 shards, keys by racer", shards: 2, ..base },
        Setting {
            name: "packed",
            change: "1 shard, packed, window 5 s",
            packed: true,
            batching_window_seconds: 5,
            ..base
        },
        Setting { name: "random keys", change: "4 shards, random keys", shards: 4, keys_by_racer: false, ..base },
    ]
}

/// Predicts and measures each setting; `each` gets the setting before it runs.
///
/// # Panics
///
/// If a part is missing, or a setting cannot be planned.
pub fn compare(parts: &Parts, settings: &[Setting], each: &mut dyn FnMut(&Setting)) -> Vec<Compared> {
    let work = calibrated(parts, settings.first().expect("there is a setting"));
    let compare = |setting: &Setting| {
        each(setting);
        let measures = phase::run(parts, setting, &mut |_| ());
        compared(setting, &measures, &plan(setting, &work))
    };
    settings.iter().map(compare).collect()
}

/// Seconds of a race by which the times of the work are measured: several of its windows.
const CALIBRATION_SECONDS: u32 = 40;

/// The times of the work here, at a setting's speed and number of racers, by one shard: where several write the same
/// groups, the plan adds what that costs.
///
/// Four short runs differ in one part each: a batch of one racer, of all racers, of several messages of each, and of a
/// tumbling window.
fn calibrated(parts: &Parts, setting: &Setting) -> Work {
    let of = |setting: Setting| mean_duration(&phase::run(parts, &setting, &mut |_| ()));
    let base = Setting {
        seconds: CALIBRATION_SECONDS,
        tumbling_seconds: 0,
        batching_window_seconds: 0,
        packed: false,
        keys_by_racer: true,
        shards: 1,
        ..*setting
    };
    let seconds = 4;
    let one = of(Setting { racers: 1, ..base });
    let all = of(base);
    let several = of(Setting { batching_window_seconds: seconds, batch_size: 10_000, ..base });
    // The groups of the last two are the same.
    let message = ((several - all) / f64::from(base.racers * (seconds - 1))).max(0.0);
    let group = ((all - one) / f64::from(base.racers - 1) - message).max(0.0);
    // One racer's batch is the invocation, a read and a write.
    let request = f64::from(setting.table_latency_ms) / 1e3;
    let batch = (one - 2.0 * request).max(0.0);
    // A window has a batch a second, one more where it ends within a second, and its end, which writes. Half of its messages
    // wait in it on average, all at its end.
    let (few, window) = (base.racers / 2, 5);
    let tumbling = of(Setting { racers: few, tumbling_seconds: window, ..base });
    let (all, batches) = (f64::from(few * window), f64::from(window) + 1.0);
    let without_state = batches * (batch + request) + message * all + batch + 2.0 * request + group * f64::from(few);
    let in_state = ((tumbling * (batches + 1.0) - without_state) / (batches * all / 2.0 + all)).max(0.0);
    Work {
        message_ns: message * 1e9,
        group_us: group * 1e6,
        window_message_ns: in_state * 1e9,
        batch_ms: batch * 1e3,
        request_ms: request * 1e3,
        ..Work::default()
    }
}

/// Without the first period, in which the function starts: the plan's batches have an instance.
fn mean_duration(measures: &Measures) -> f64 {
    let mut later = measures.clone();
    later.periods.remove(0);
    later.total_with_drain(|it| it.invocations.seconds) / later.total_with_drain(|it| it.invocations.ended as f64)
}

fn plan(setting: &Setting, work: &Work) -> Plan {
    let load = Load {
        racers: setting.racers,
        race_seconds: setting.seconds,
        keys: if setting.keys_by_racer { Keys::Racer } else { Keys::Random },
        packing: if setting.packed { Packing::Bytes(51_200) } else { Packing::None },
        message_bytes: 162,
        ..Load::default()
    };
    let function = Function {
        batch_size: setting.batch_size as u32,
        // Lambda asks for a window where a batch may have more than 10 records. A second is the interval of its polls.
        window_seconds: setting.batching_window_seconds.max(1),
        tumbling_seconds: setting.tumbling_seconds,
        factor: setting.factor as u32,
        // A whole processor, as a process has here.
        memory_mb: 1_769,
        timeout_seconds: setting.timeout_seconds,
        ..Function::default()
    };
    let table =
        TableMode::Provisioned { units: f64::from(setting.table_units), index_units: f64::from(setting.index_units) };
    let mut aggregates = Aggregate::alleycat();
    if !setting.packed_groups {
        aggregates.iter_mut().for_each(|aggregate| aggregate.packed_into = 0);
    }
    let deployment = Deployment {
        shards: setting.shards as u32,
        consumer: Consumer::Function(function),
        table,
        aggregates,
        ..Deployment::default()
    };
    let assumptions = Assumptions { work: work.clone(), ..Assumptions::default() };
    Plan::new(&load, &deployment, &assumptions, &Targets::default()).expect("a setting that can be deployed")
}

fn compared(setting: &Setting, measures: &Measures, plan: &Plan) -> Compared {
    let messages = f64::from(setting.racers * setting.seconds);
    let units = measures.total_with_drain(|it| it.table.units + it.index.units);
    let committed = measures.total_with_drain(|it| it.invocations.committed as f64);
    let age = measures.total_with_drain(|it| it.invocations.age_seconds);
    let flow = &plan.flow;
    Compared {
        name: setting.change,
        units: Pair { predicted: flow.units_per_thousand, measured: units / messages * 1e3 },
        duration: Pair { predicted: flow.duration_seconds, measured: mean_duration(measures) },
        age: Pair { predicted: age_since_arrival(setting, plan), measured: age / committed },
    }
}

/// The mean age by the plan since the record's arrival, which is measured. A message waits before that until its record is
/// full: half of the time that this takes on average.
fn age_since_arrival(setting: &Setting, plan: &Plan) -> f64 {
    let fills = setting.shards as f64 / plan.flow.records_per_second;
    plan.flow.mean_age_seconds - if setting.packed { fills / 2.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_deviates_by_more_than_a_fifth_is_named_with_its_setting() {
        let of = |predicted: f64| Pair { predicted, measured: 100.0 };
        let compared = |units, duration, age| Compared { name: "2 shards", units, duration, age };
        assert!(compared(of(120.0), of(100.0), of(80.0)).misses().is_empty());
        assert_eq!(
            compared(of(121.0), of(130.0), of(79.0)).misses(),
            [
                "2 shards: the number of units deviates by +21 %",
                "2 shards: the mean duration deviates by +30 %",
                "2 shards: the mean age deviates by -21 %"
            ]
        );
        let nothing = Pair { predicted: 0.0, measured: 0.0 };
        assert_eq!(compared(nothing, of(100.0), of(100.0)).misses().len(), 1, "nothing was measured");
    }
}
