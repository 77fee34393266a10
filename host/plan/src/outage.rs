//! An outage of the consumer, and how long it takes until nothing is behind.

use serde::Serialize;

use crate::flow::Flow;
use crate::interval::least_simulated;
use crate::shape::Shape;
use crate::simulation::{Options, catch_up};
use crate::targets::Targets;

/// Seconds before a simulated outage.
const BEFORE_OUTAGE: u32 = 60;
/// A catch-up is simulated for so many times its formula's time, at least and at most so many seconds.
const SIMULATED_CATCH_UP: (f64, f64, f64) = (4.0, 60.0, 14_400.0);

/// What an outage of the consumer does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Outage {
    /// Its seconds.
    pub seconds: u32,
    /// Its first seconds, of which the messages are older than the retention when it ends: they are lost.
    pub lost_seconds: u32,
    /// The messages of these seconds.
    pub lost_messages: f64,
    /// Seconds after it until nothing is behind, by the formula: (outage − lost) × load ÷ (capacity − load).
    pub catch_up_seconds: Option<f64>,
    /// The same, simulated; `None` if it did not catch up within [`Outage::simulated_at_most`].
    pub simulated_seconds: Option<f64>,
    /// Seconds after it that are simulated at most; 0 if it never catches up by the formula.
    pub simulated_at_most: u32,
}

/// What an outage does, by the formula and simulated.
pub(crate) fn outage(flow: &Flow, shape: &Shape<'_>, targets: &Targets) -> Outage {
    let seconds = targets.outage_seconds;
    // What is older than the retention is gone when the consumer is back, and nothing of it is behind.
    let kept = seconds.min(shape.deployment.retention_hours.saturating_mul(3_600));
    let lost_seconds = seconds - kept;
    let outage = Outage {
        seconds,
        lost_seconds,
        lost_messages: f64::from(lost_seconds) * flow.accepted_per_second,
        catch_up_seconds: flow.catch_up_seconds(f64::from(kept)),
        simulated_seconds: None,
        simulated_at_most: 0,
    };
    let Some(formula) = outage.catch_up_seconds.filter(|_| kept > 0) else { return outage };
    let (times, least, most) = SIMULATED_CATCH_UP;
    let after = ((formula * times).clamp(least, most) as u32).max(least_simulated(shape));
    let options =
        Options { seconds: BEFORE_OUTAGE + kept + after, seed: targets.seed, outage: Some((BEFORE_OUTAGE, kept)) };
    Outage { simulated_seconds: catch_up(shape, &options), simulated_at_most: after, ..outage }
}
