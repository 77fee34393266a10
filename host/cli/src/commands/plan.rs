//! `paceline plan`: what a load uses of a deployment's quotas, how late it is, what it costs, and the cheapest setting.
//!
//! It computes only: nothing is deployed, and no service is asked.

mod aggregates;
mod arguments;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use paceline_plan::{Assumptions, Plan, Prices, Targets, Work};

use crate::report;
use crate::setup::UsageError;

/// Arguments of `paceline plan`.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    load: arguments::Load,
    #[command(flatten)]
    deployment: arguments::Deployment,
    /// How long the consumer is out of order, for the time to catch up.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = arguments::whole_seconds)]
    outage: u32,
    /// Search the cheapest setting with which 99 of 100 messages are committed within this time.
    #[arg(long, value_name = "TIME", value_parser = arguments::seconds)]
    wanted_age: Option<f64>,
    /// How long the simulation lasts, in the time of the load: longer where queues or messages come more seldom.
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = arguments::whole_seconds)]
    simulate: u32,
    /// The seed of the simulation.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// A TOML file of prices, in place of those of us-east-1.
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// A TOML file of what the work costs in time, in place of the project's benchmarks.
    #[arg(long, value_name = "FILE")]
    calibration: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The exit code if the wanted age is not held.
const NOT_HELD: u8 = 3;

/// Prints the plan.
pub(crate) fn plan(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let targets = Targets {
        wanted_age: arguments.wanted_age,
        outage_seconds: arguments.outage,
        seconds: arguments.simulate,
        seed: arguments.seed,
    };
    let invalid = |error: &dyn Display| UsageError(error.to_string());
    arguments.deployment.check().map_err(|error| invalid(&error))?;
    let (load, deployment) = (arguments.load.load(), arguments.deployment.deployment()?);
    let plan = Plan::new(&load, &deployment, &assumptions(arguments)?, &targets).map_err(|error| invalid(&error))?;
    match arguments.json {
        true => report::print_json(&serde_json::to_value(&plan)?)?,
        false => report::print_line(plan.to_string().trim_end())?,
    }
    let is_held = plan.wanted.as_ref().is_none_or(|wanted| wanted.is_held);
    Ok(if is_held { ExitCode::SUCCESS } else { ExitCode::from(NOT_HELD) })
}

fn assumptions(arguments: &Arguments) -> anyhow::Result<Assumptions> {
    let named = |path: &Path| format!("{}", path.display());
    let prices = match &arguments.prices {
        Some(path) => Prices::from_toml(&read(path)?).with_context(|| named(path))?,
        None => Prices::default(),
    };
    let work = match &arguments.calibration {
        Some(path) => Work::from_toml(&read(path)?).with_context(|| named(path))?,
        None => Work::default(),
    };
    Ok(Assumptions { work, prices })
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))
}
