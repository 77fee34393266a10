//! A load, a deployment, and everything that follows from them.

use paceline_capacity::PricesError;
use serde::Serialize;

use crate::assumptions::Assumptions;
use crate::cheapest::{Cheapest, cheapest, holds};
use crate::cost::Cost;
use crate::deployment::Deployment;
use crate::exclusions::{Exclusion, exclusions};
use crate::flow::Flow;
use crate::interval::least_simulated;
use crate::limits::{Limit, first_full, limits};
use crate::load::Load;
use crate::ranges;
use crate::shape::Shape;
use crate::simulation::{Options, Outcome, catch_up, simulate};
use crate::warnings::{Warning, warnings};
use crate::work::WorkError;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Targets {
    /// The age within which 99 of 100 messages are to be committed, in seconds. Without it nothing is searched.
    pub wanted_age: Option<f64>,
    /// Seconds of an outage of the consumer.
    pub outage_seconds: u32,
    /// Seconds that are simulated.
    pub seconds: u32,
    /// The seed of the simulation.
    pub seed: u64,
}

impl Default for Targets {
    fn default() -> Self {
        Self { wanted_age: None, outage_seconds: 600, seconds: 900, seed: 1 }
    }
}

/// The plan cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Settings exclude each other.
    #[error("these settings can't be deployed: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Excluded(Vec<Exclusion>),
    /// What is asked for can't be computed.
    #[error("this can't be computed: {0}")]
    Target(Exclusion),
    /// The calibration is none.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// The prices are none.
    #[error(transparent)]
    Prices(#[from] PricesError),
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// What producers send.
    pub load: Load,
    /// What it comes into.
    pub deployment: Deployment,
    /// The steady state.
    pub flow: Flow,
    /// What it uses of each limit.
    pub limits: Vec<Limit>,
    /// The limit of a rate that is full first.
    pub first_full: Option<Limit>,
    /// What happened in the simulation.
    pub simulated: Outcome,
    /// What an outage does.
    pub outage: Outage,
    /// What it costs a month.
    pub cost: Cost,
    /// What the prices are.
    pub prices: String,
    /// What an operator should know.
    pub warnings: Vec<Warning>,
    /// The wanted age, and what holds it.
    pub wanted: Option<Wanted>,
}

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

/// A wanted age.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Wanted {
    /// In seconds.
    pub age_seconds: f64,
    /// Whether the deployment holds it.
    pub is_held: bool,
    /// The cheapest setting that holds it.
    pub cheapest: Option<Cheapest>,
}

/// Seconds before a simulated outage.
const BEFORE_OUTAGE: u32 = 60;
/// A catch-up is simulated for so many times its formula's time, at least and at most so many seconds.
const SIMULATED_CATCH_UP: (f64, f64, f64) = (4.0, 60.0, 14_400.0);

impl Plan {
    /// Computes a plan.
    pub fn new(
        load: &Load,
        deployment: &Deployment,
        assumptions: &Assumptions,
        targets: &Targets,
    ) -> Result<Self, PlanError> {
        if let Some(target) = ranges::of_targets(targets).into_iter().next() {
            return Err(PlanError::Target(target));
        }
        let excluded = exclusions(load, deployment);
        if !excluded.is_empty() {
            return Err(PlanError::Excluded(excluded));
        }
        assumptions.work.validate()?;
        assumptions.prices.validate()?;
        let shape = Shape::new(load, deployment, &assumptions.work);
        let flow = Flow::new(&shape);
        let limits = limits(&flow, &shape);
        let options =
            Options { seconds: targets.seconds.max(least_simulated(&shape)), seed: targets.seed, outage: None };
        let simulated = simulate(load, deployment, &assumptions.work, &options);
        let wanted = targets.wanted_age.map(|age_seconds| Wanted {
            age_seconds,
            is_held: holds(flow.highest_age_seconds, &simulated, age_seconds),
            cheapest: cheapest(load, deployment, age_seconds, assumptions),
        });
        let prices = &assumptions.prices;
        let outage = outage(&flow, &shape, targets);
        Ok(Self {
            outage,
            cost: Cost::new(&flow, &shape, prices),
            prices: format!("{}, {} ({})", prices.region, prices.date, prices.source),
            warnings: warnings(&flow, &shape, &limits, &simulated, &outage),
            first_full: first_full(&limits).cloned(),
            load: load.clone(),
            deployment: deployment.clone(),
            flow,
            limits,
            simulated,
            wanted,
        })
    }
}

fn outage(flow: &Flow, shape: &Shape<'_>, targets: &Targets) -> Outage {
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
