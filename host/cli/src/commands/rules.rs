//! `paceline rules`: the operator's side of the registry.
//!
//! # Layout
//!
//! - this file: the arguments.
//! - `change`: commands that write the log.
//! - `apply`: a folder as the wanted rules.
//! - `trial`: a rulebook that is tried beside the current one.
//! - `view`: commands that only read. `status`: what race types run and what hosts follow.
//! - `replay`: recorded records by a rulebook that does not run.
//! - `remote`: plugins of OCI registries that rulebooks name.
//! - `ready`: whether the hosts are ready for a rulebook.
//! - `head`: the store's head item.
//! - `key`: keys to sign with.
//! - `name`: rulebooks as people name them.

mod apply;
mod change;
mod head;
mod key;
pub(crate) mod name;
mod ready;
mod remote;
mod replay;
mod status;
mod trial;
mod view;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::bail;
use clap::{Subcommand, ValueEnum};
use paceline_config::{Config, OpenError, variable};
use paceline_engine::{Engine, Target};
use paceline_pipeline::rules::operator::{Author, Operator};
use paceline_pipeline::rules::{Registry, Share, TrialLimits, TrialMode};
use tokio::runtime::Runtime;

use crate::setup::{GlobalConfigArgument, cache, runtime};
use name::RulebookName;

/// The last second of the year 9999: entries write years with four digits.
const LAST_SECOND: u64 = 253_402_300_799;

/// Arguments of `paceline rules`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    config: GlobalConfigArgument,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

/// What commands have in common that change something.
#[derive(clap::Args)]
struct ChangeArguments {
    /// Show what would change, and change nothing. The exit code is 0 if nothing would, and 3 otherwise.
    #[arg(long)]
    dry_run: bool,
    /// The reason, for the history.
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// The file of the key to sign with, as `keygen` writes it [default: that of PACELINE_SIGNING_KEY]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Who makes the change, for the history [default: PACELINE_OPERATOR, then the user's name]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// Compiled code beside plugins.
#[derive(clap::Args)]
struct PrecompileArguments {
    /// Add compiled code of the plugins for hosts of these architectures, x86_64 or aarch64, signed. Hosts with
    /// `rules.trusted-keys` use it instead of compiling.
    #[arg(long = "precompile", value_name = "ARCH,…", value_delimiter = ',')]
    targets: Vec<Target>,
}

#[derive(Subcommand)]
enum Action {
    /// Check a rulebook and its plugins in the sandbox, and add them to the registry. No race type runs it yet.
    Publish {
        /// The rulebook's file.
        rulebook: PathBuf,
        /// The folder of the plugins that it names: NAME.wasm.
        #[arg(long, value_name = "FOLDER")]
        plugins: Option<PathBuf>,
        /// The file of its sample events [default: NAME.samples.ndjson beside NAME.toml, if there is one]
        #[arg(long, value_name = "FILE")]
        samples: Option<PathBuf>,
        #[command(flatten)]
        precompile: PrecompileArguments,
        #[command(flatten)]
        change: ChangeArguments,
    },
    /// Make the rules those of a folder, whose rules.toml maps race types to rulebooks: publish and activate what differs.
    Apply {
        /// The folder.
        folder: PathBuf,
        /// Apply the folder again whenever it changes, until the process is stopped.
        #[arg(long, conflicts_with = "dry_run")]
        watch: bool,
        #[command(flatten)]
        precompile: PrecompileArguments,
        #[command(flatten)]
        change: ChangeArguments,
    },
    /// Write a registry into a folder, for a package or an image: an earlier one, continued with the rules of a folder.
    Bundle {
        /// The folder of rulebooks.
        folder: PathBuf,
        /// The folder for the registry.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        /// The registry that it continues: that of the package before, so that races in progress find their rulebooks.
        #[arg(long, value_name = "REGISTRY")]
        onto: Option<String>,
        /// Add compiled code of all plugins in the registry for hosts of these architectures, x86_64 or aarch64. It is not
        /// signed: hosts whose package it is in use it with `rules.trust-seed`.
        #[arg(long = "precompile", value_name = "ARCH,…", value_delimiter = ',')]
        targets: Vec<Target>,
        #[command(flatten)]
        change: ChangeArguments,
    },
    /// Let new races of a race type begin with a published rulebook.
    Activate {
        /// The rulebook, NAME@VERSION.
        rulebook: RulebookName,
        /// The race type.
        #[arg(long, value_name = "T")]
        race_type: String,
        /// From when on.
        #[arg(long, value_enum, default_value = "next-race")]
        when: When,
        #[command(flatten)]
        wait: ready::WaitArguments,
        #[command(flatten)]
        change: ChangeArguments,
    },
    /// Let a share of the new races of a race type begin with a published rulebook. It is taken back by itself if it
    /// fails.
    Canary {
        /// The rulebook, NAME@VERSION.
        rulebook: RulebookName,
        /// The race type.
        #[arg(long, value_name = "T")]
        race_type: String,
        /// The share of the new races, from 0.01% to 100%.
        #[arg(long)]
        share: Share,
        #[command(flatten)]
        limits: trial::LimitArguments,
        #[command(flatten)]
        wait: ready::WaitArguments,
        #[command(flatten)]
        change: ChangeArguments,
    },
    /// Let a published rulebook evaluate the records of a race type beside the current one. It writes nothing.
    Shadow {
        /// The rulebook, NAME@VERSION.
        rulebook: RulebookName,
        /// The race type.
        #[arg(long, value_name = "T")]
        race_type: String,
        #[command(flatten)]
        change: ChangeArguments,
    },
    /// Let the rulebook that is tried become the current one: new races begin with it.
    Promote {
        /// The race type.
        race_type: String,
        /// Promote it although it has failed or a host has refused it, or without looking at what it has shown.
        #[arg(long)]
        force: bool,
        /// Do not wait for hosts that have not loaded the rulebook yet. Otherwise it waits for at most 30 s.
        #[arg(long)]
        no_wait: bool,
        #[command(flatten)]
        change: ChangeArguments,
    },
    /// End a trial or, if there is none, return a race type to the rulebook before, with all races that began since.
    Rollback {
        /// The race type.
        race_type: String,
        #[command(flatten)]
        change: ChangeArguments,
    },
    /// Let new races of a race type find no rulebook. Races in progress go on.
    Retire {
        /// The race type.
        race_type: String,
        #[command(flatten)]
        change: ChangeArguments,
    },
    /// Let one race go on with another rulebook.
    Repin {
        /// The race: the value of the pinned field.
        race: String,
        /// The rulebook, NAME@VERSION.
        rulebook: RulebookName,
        /// The race type.
        #[arg(long, value_name = "T")]
        race_type: String,
        #[command(flatten)]
        change: ChangeArguments,
    },
    /// Generate a key to sign changes with. Prints the public key, for `rules.trusted-keys`.
    Keygen {
        /// The file for the key. It must not exist, and is readable for its owner only.
        file: PathBuf,
    },
    /// Write the rules as they are once more, signed: when keys are rotated, or signatures begin.
    Sign {
        #[command(flatten)]
        change: ChangeArguments,
    },
    /// Verify the signatures of all entries by `rules.trusted-keys`, and the digests of all rulebooks and plugins.
    Verify,
    /// List the published rulebooks.
    List,
    /// Show a rulebook as it was published.
    Show {
        /// The rulebook, NAME@VERSION.
        rulebook: RulebookName,
    },
    /// Show how two rulebooks differ.
    Diff {
        /// A rulebook, NAME@VERSION.
        a: RulebookName,
        /// Another one.
        b: RulebookName,
    },
    /// Run recorded records through a rulebook without writing anything, and show what would differ.
    Replay(replay::Arguments),
    /// Show the changes: who, when, why.
    History {
        /// Only those of this race type.
        race_type: Option<String>,
    },
    /// Show what each race type runs, and which hosts follow the rules.
    Status,
    /// Let hosts follow the registry as it is, although it is behind what they have followed, or another one.
    Adopt {
        /// Show what would change, and change nothing. The exit code is 0 if nothing would, and 3 otherwise.
        #[arg(long)]
        dry_run: bool,
        /// The reason.
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
        /// Who does it [default: PACELINE_OPERATOR, then the user's name]
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
    },
}

impl Action {
    /// Whether it may write the first rules.
    fn writes(&self) -> bool {
        matches!(self, Self::Publish { change, .. } | Self::Apply { change, .. } if !change.dry_run)
    }

    /// Whether it shows what would be the first rules.
    fn plans(&self) -> bool {
        matches!(self, Self::Publish { change, .. } | Self::Apply { change, .. } if change.dry_run)
    }
}

/// From when on an activated rulebook holds.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum When {
    /// For races that begin later.
    NextRace,
    /// For races in progress, too.
    Now,
}

/// What the commands work with.
struct Session {
    config: Config,
    runtime: Runtime,
    registry: Registry,
    json: bool,
    /// The architectures for which plugins are compiled ahead.
    targets: Vec<Target>,
}

impl Session {
    fn operator(&self) -> Operator<'_> {
        Operator { registry: &self.registry, route: &self.config.route.race_type }
    }

    fn engine(&self) -> anyhow::Result<Engine> {
        Ok(paceline_config::open_engine(&self.config, cache().as_deref())?)
    }
}

impl ChangeArguments {
    /// The file of the key to sign with.
    fn key_file(&self) -> Option<PathBuf> {
        self.key.clone().or_else(|| variable("PACELINE_SIGNING_KEY").map(PathBuf::from))
    }

    fn author(&self) -> anyhow::Result<Author> {
        let by = self.by.clone().or_else(|| ["PACELINE_OPERATOR", "USER", "LOGNAME"].into_iter().find_map(variable));
        let key = self.key_file().as_deref().map(key::read).transpose()?;
        Ok(Author { key, by: by.unwrap_or_else(|| "unknown".to_owned()), why: self.why.clone(), at: source_date()? })
    }
}

/// The time of a change, where a build sets it to be reproducible: <https://reproducible-builds.org/specs/source-date-epoch/>
fn source_date() -> anyhow::Result<Option<SystemTime>> {
    let Some(text) = variable("SOURCE_DATE_EPOCH") else { return Ok(None) };
    match text.parse() {
        Ok(seconds @ 0..=LAST_SECOND) => Ok(Some(UNIX_EPOCH + Duration::from_secs(seconds))),
        _ => bail!(
            "SOURCE_DATE_EPOCH is `{text}`, which is not a time in whole seconds since 1970, from 0 to {LAST_SECOND}: correct \
             or unset the variable"
        ),
    }
}

/// Changes or shows the rules.
pub(crate) fn rules(arguments: Arguments) -> anyhow::Result<ExitCode> {
    if let Action::Keygen { file } = &arguments.action {
        return key::generate(file, arguments.json);
    }
    let config = arguments.config.load()?;
    let runtime = runtime()?;
    let registry = match &arguments.action {
        Action::Bundle { out, onto, change, .. } => {
            runtime.block_on(apply::bundle(out, onto.as_deref(), change.dry_run))?
        }
        // A folder that is named by mistake is not created by who only looks.
        action if action.writes() => runtime.block_on(paceline_config::create_registry(&config))?,
        action => match runtime.block_on(paceline_config::open_registry(&config)) {
            // What would be the first rules can be shown before there is a registry.
            Err(OpenError::NoRules(_)) if action.plans() => Registry::memory(),
            opened => opened?,
        },
    };
    let session = Session { config, runtime, registry, json: arguments.json, targets: Vec::new() };
    match arguments.action {
        Action::Publish { rulebook, plugins, samples, precompile, change } => {
            let session = Session { targets: precompile.targets, ..session };
            change::publish(&session, &rulebook, plugins, samples.as_deref(), &change)
        }
        Action::Apply { folder, watch, precompile, change } => {
            let session = Session { targets: precompile.targets, ..session };
            match watch {
                true => apply::watch(&session, &folder, &change),
                false => apply::apply(&session, &folder, &change),
            }
        }
        Action::Bundle { folder, targets, change, .. } => {
            apply::apply_to_package(&Session { targets, ..session }, &folder, &change)
        }
        Action::Activate { rulebook, race_type, when, wait, change } => {
            if !change.dry_run {
                ready::check(&session, &rulebook, &wait)?;
            }
            change::activate(&session, &rulebook, race_type, when == When::Now, &change)
        }
        Action::Canary { rulebook, race_type, share, limits, wait, change } => {
            if !change.dry_run {
                ready::check(&session, &rulebook, &wait)?;
            }
            let mode = (TrialMode::Canary { share }, limits.limits());
            trial::begin(&session, &rulebook, race_type, mode, &change)
        }
        Action::Shadow { rulebook, race_type, change } => {
            let mode = (TrialMode::Shadow, TrialLimits::default());
            trial::begin(&session, &rulebook, race_type, mode, &change)
        }
        Action::Promote { race_type, force, no_wait, change } => {
            trial::promote(&session, race_type, &ready::WaitArguments { no_wait, force }, &change)
        }
        Action::Rollback { race_type, change } => change::rollback(&session, race_type, &change),
        Action::Retire { race_type, change } => change::retire(&session, race_type, &change),
        Action::Repin { race, rulebook, race_type, change } => {
            change::repin(&session, &change::Race { race_type, race }, &rulebook, &change)
        }
        Action::Sign { change } => change::sign(&session, &change),
        Action::Verify => view::verify(&session),
        Action::Keygen { .. } => unreachable!("it was handled above"),
        Action::List => view::list(&session),
        Action::Show { rulebook } => view::show(&session, &rulebook),
        Action::Diff { a, b } => view::diff(&session, &a, &b),
        Action::Replay(arguments) => replay::replay(&session, &arguments),
        Action::History { race_type } => view::history(&session, race_type.as_deref()),
        Action::Status => status::status(&session),
        Action::Adopt { dry_run, why, by } => {
            let change = ChangeArguments { dry_run, why, key: None, by };
            head::adopt(&session, &change)
        }
    }
}
