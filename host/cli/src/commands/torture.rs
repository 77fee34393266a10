//! `paceline torture`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, ValueEnum};
use paceline_simulation::{Failure, Options, Plan, Plant, Report, Setup, Torture, run, shrink};
use serde_json::{Value, json};

use crate::report;
use crate::setup::cache;

/// The name that stands for each planted bug in turn.
const EVERY: &str = "all";

/// What hosts' stores are in.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tier {
    /// In memory, behind the pipeline's own traits.
    Memory,
    /// In DynamoDB, which is in memory behind the AWS SDK.
    Sdk,
}

/// Arguments of `paceline torture`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The first seed.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How many seeds, one after another. Each runs twice.
    #[arg(long, value_name = "M", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// What the hosts' stores are in: memory, or DynamoDB through the AWS SDK, which takes longer.
    #[arg(long, value_enum, default_value_t = Tier::Memory)]
    tier: Tier,
    /// Plant a bug that the seeds have to find: its name, or `all` for each in turn.
    #[arg(long = "break", value_name = "NAME")]
    plant: Option<String>,
    /// Set a knob of every seed's plan, such as `hosts=1`.
    #[arg(long = "set", value_name = "KNOB=VALUE", value_parser = setting)]
    settings: Vec<(String, u32)>,
    /// The folder of the plugins, evil ones included.
    #[arg(long, value_name = "FOLDER", default_value = "target/plugins")]
    plugins: PathBuf,
    /// Print what happens in the first seed, one event a line.
    #[arg(long, conflicts_with = "json")]
    trace: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn setting(text: &str) -> Result<(String, u32), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is not KNOB=VALUE"))?;
    let value = value.parse().map_err(|error| format!("the value of `{name}` is `{value}`: {error}"))?;
    Ok((name.to_owned(), value))
}

impl Arguments {
    fn torture(&self, plant: Option<Plant>) -> Torture {
        let tier = (self.tier == Tier::Sdk).then(|| ("tier".to_owned(), 1));
        let settings = tier.into_iter().chain(self.settings.iter().cloned()).collect();
        let options = Options { plant, keep_trace: false };
        Torture { seed: self.seed, seeds: self.seeds, settings, options }
    }

    /// The command that repeats a plan.
    fn command(&self, plan: &Plan, plant: Option<Plant>) -> String {
        let drawn = self.torture(plant).drawn(plan.seed);
        let plant = plant.map_or(String::new(), |plant| format!(" --break {plant}"));
        let settings = plan.settings_against(&drawn);
        format!("paceline torture --seed {}{plant}{settings}", plan.seed)
    }
}

/// Runs seeds of the simulation, and shows the first one that fails.
pub(crate) fn torture(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let setup = Arc::new(Setup::new(&arguments.plugins, cache().as_deref())?);
    match arguments.plant.as_deref() {
        Some(EVERY) => every_plant(arguments, &setup),
        Some(name) => one(arguments, &setup, Some(name.parse().with_context(|| format!("--break {name}"))?)),
        None => one(arguments, &setup, None),
    }
}

/// Runs seeds. A planted bug has to be found; without one nothing may be.
fn one(arguments: &Arguments, setup: &Arc<Setup>, plant: Option<Plant>) -> anyhow::Result<ExitCode> {
    let torture = arguments.torture(plant);
    if arguments.trace {
        let options = Options { keep_trace: true, ..torture.options };
        report::print_line(&run(setup, &torture.plan(arguments.seed)?, options).trace.unwrap_or_default())?;
    }
    let seeds = torture.run(setup)?;
    let shrunk = seeds.failure.as_ref().map(|failure| smaller(arguments, setup, failure, plant));
    if arguments.json {
        report::print_json(&as_json(&seeds, shrunk.as_ref(), plant))?;
    } else {
        print(&seeds, shrunk.as_ref())?;
    }
    Ok(if seeds.failure.is_some() == plant.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A failure, made smaller.
struct Smaller {
    command: String,
    finding: String,
    tried: u32,
}

fn smaller(arguments: &Arguments, setup: &Arc<Setup>, failure: &Failure, plant: Option<Plant>) -> Smaller {
    let options = Options { plant, keep_trace: false };
    let shrunk = shrink(setup, &failure.plan, &failure.finding, options);
    let command = arguments.command(&shrunk.plan, plant);
    Smaller { command, finding: shrunk.finding.to_string(), tried: shrunk.tried }
}

fn print(seeds: &Report, shrunk: Option<&Smaller>) -> anyhow::Result<()> {
    if let (Some(failure), Some(Smaller { command, finding, tried })) = (&seeds.failure, shrunk) {
        report::print_line(&format!("seed {} fails: {}", failure.plan.seed, failure.finding))?;
        report::print_line(&format!("the smallest of {tried} plans that fail alike: {finding}"))?;
        report::print_line(&format!("    {command}"))?;
    }
    let (ran, took) = (report::thousands(seeds.ran), seeds.took.as_secs_f64());
    let a_minute = report::thousands(seeds.seeds_per_minute() as u64);
    report::print_line(&format!("{ran} seeds in {took:.1} s, {a_minute} a minute"))
}

fn as_json(seeds: &Report, shrunk: Option<&Smaller>, plant: Option<Plant>) -> Value {
    let failure = seeds.failure.as_ref().zip(shrunk).map(|(failure, shrunk)| {
        json!({
            "seed": failure.plan.seed,
            "finding": failure.finding.to_string(),
            "shrunk": { "finding": shrunk.finding, "command": shrunk.command },
        })
    });
    json!({
        "seeds": seeds.ran,
        "seconds": seeds.took.as_secs_f64(),
        "simulation_seeds_per_minute": seeds.seeds_per_minute().round(),
        "planted": plant.map(Plant::as_str),
        "failure": failure,
    })
}

/// Plants each bug in turn, and shows how many seeds it takes to find it.
fn every_plant(arguments: &Arguments, setup: &Arc<Setup>) -> anyhow::Result<ExitCode> {
    let mut found = Vec::new();
    for &plant in Plant::ALL {
        let seeds = arguments.torture(Some(plant)).run(setup)?;
        found.push((plant, seeds.failure.map(|failure| (failure.plan.seed - arguments.seed + 1, failure.finding))));
    }
    let count = found.iter().filter(|(_, found)| found.is_some()).count();
    if arguments.json {
        let each = |(plant, found): &(Plant, Option<(u64, _)>)| {
            (plant.as_str().to_owned(), json!(found.as_ref().map(|(seeds, _)| *seeds)))
        };
        let seeds: serde_json::Map<String, Value> = found.iter().map(each).collect();
        report::print_json(&json!({
            "simulation_planted": Plant::ALL.len(),
            "simulation_planted_found": count,
            "seeds": seeds,
        }))?;
    } else {
        let mut rows = vec![["planted", "seeds", "finding"].map(str::to_owned).to_vec()];
        rows.extend(found.iter().map(|(plant, found)| match found {
            Some((seeds, finding)) => vec![plant.to_string(), seeds.to_string(), finding.to_string()],
            None => vec![plant.to_string(), "not found".to_owned(), String::new()],
        }));
        report::print_table(&rows)?;
    }
    Ok(if count == Plant::ALL.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
