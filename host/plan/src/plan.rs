//! A load, a deployment, and everything that follows from them.

use paceline_capacity::PricesError;
use serde::Serialize;

use crate::assumptions::Assumptions;
use crate::cheapest::{Cheapest, cheapest, held_age, holds};
use crate::cost::Cost;
use crate::deployment::Deployment;
use crate::exclusion::Exclusion;
use crate::exclusions::exclusions;
use crate::flow::Flow;
use crate::interval::least_simulated;
use crate::limits::{Limit, first_full, limits};
use crate::load::Load;
use crate::outage::{Outage, outage};
use crate::ranges;
use crate::shape::Shape;
use crate::simulation::{Options, Outcome, simulate};
use crate::targets::Targets;
use crate::warnings::{Warning, warnings};
use crate::work::WorkError;

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
        let mut simulated = simulate(load, deployment, &assumptions.work, &options);
        simulated.growth = simulated.growth.max(flow.overload());
        let wanted = targets.wanted_age.map(|age_seconds| Wanted {
            age_seconds,
            is_held: holds(flow.highest_age_seconds, &simulated, age_seconds)
                && held_age(&shape, flow.highest_age_seconds, age_seconds).is_some(),
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
