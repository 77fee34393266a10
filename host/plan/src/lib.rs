//! Computes what a load uses of a deployment's quotas, how late it is processed, what it costs, and the cheapest setting.
//!
//! Nothing here does input or output. [`Plan::new`] is the whole of it: a [`Load`] and a [`Deployment`] in, a report
//! out, which prints itself as text and serializes as JSON. Formulas give what is constant; [`simulate`] gives bursts,
//! burst credit, throttling and outages.
//!
//! # Layout
//!
//! - `load`, `deployment`: what comes in, and what it comes into; `ranges`, `exclusions`: what is out of its range, and
//!   settings that exclude each other; `exclusion`: why.
//! - `work`: what a record costs in time, replaceable by a TOML file as the prices are; `assumptions`: both.
//! - `shape`: queues, batches and the largest share of one; `writes`: groups and units of a batch; `shared_items`: those of
//!   packed groups.
//! - `interval`: the batches between two polls, and their time; `flow`: the steady state by formulas; `capacities`: what
//!   bounds it; `limits`: its use of each quota; `cost`: its price.
//! - `simulation`: the discrete-event simulation.
//! - `cheapest`: the search.
//! - `warnings`: what an operator should know about a setting.
//! - `targets`: what is asked for; `outage`: what an outage does.
//! - `plan`: all of it together; `text`, `figures`: the report.
#![forbid(unsafe_code)]

mod assumptions;
mod capacities;
mod cheapest;
mod cost;
mod deployment;
mod exclusion;
mod exclusions;
mod figures;
mod flow;
mod interval;
mod limits;
mod load;
mod outage;
mod plan;
mod ranges;
mod shape;
mod shared_items;
mod simulation;
mod targets;
mod text;
mod warnings;
mod work;
mod writes;

pub use assumptions::Assumptions;
pub use capacities::Capacity;
pub use cheapest::{Cheapest, cheapest};
pub use cost::{Cost, CostItem};
pub use deployment::{Aggregate, Consumer, Dedup, Deployment, Function, Indexed, Process, Records, Retry, TableMode};
pub use exclusion::Exclusion;
pub use exclusions::exclusions;
pub use flow::Flow;
pub use limits::{Limit, LimitKind};
pub use load::{Finals, Keys, Load, Packing};
pub use outage::Outage;
pub use paceline_capacity::{Prices, PricesError};
pub use plan::{Plan, PlanError, Wanted};
pub use simulation::{Ages, Options, Outcome, simulate};
pub use targets::Targets;
pub use warnings::{Warning, WarningKind};
pub use work::{Work, WorkError};
