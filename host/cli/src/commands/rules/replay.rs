//! `paceline rules replay`: recorded records by a rulebook, compared with another one or with what the store holds.
//!
//! # Layout
//!
//! - this file: the arguments, and the replay.
//! - `places`: places won and lost in leaderboards.
//! - `shown`: the result; `text`, `as_json`: it, for people and for programs.

mod as_json;
mod places;
mod shown;
mod text;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, bail};
use paceline_config::AnyStore;
use paceline_engine::{Digest, Engine};
use paceline_pipeline::model::Cause;
use paceline_pipeline::replay::{Baseline, CommittedLetters, Replay, ReplayOptions};
use paceline_pipeline::rules::operator::{
    PluginFiles, Prepared, ReplayRules, ReplayedRulebook, prepare, remote_plugins, replay_rules,
};
use paceline_pipeline::rules::{Rules, Tail};
use paceline_pipeline::store::{DeadLetterStore, MemoryStore};

use self::places::Places;
use self::shown::Shown;
use super::name::{NotAName, RulebookName};
use super::{Session, remote};
use crate::commands::recorded::{Since, Source};
use crate::report;
use crate::setup::open_store_to_read;

/// Arguments of `paceline rules replay`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The rulebook to try: NAME@VERSION, a digest, or a rulebook's file, FILE.toml.
    #[arg(long, value_name = "RULEBOOK")]
    rules: RulebookArgument,
    /// What it is compared with: a rulebook, or `committed` for what the store holds.
    #[arg(long, value_name = "RULEBOOK")]
    against: AgainstArgument,
    /// The folder of the plugins that a rulebook's file names: NAME.wasm.
    #[arg(long, value_name = "FOLDER")]
    plugins: Option<PathBuf>,
    /// Where the records come from: a file of newline-delimited JSON, `-` for standard input, `dead-letters` for those of
    /// the store, or `stream` for the configured Kinesis stream.
    #[arg(long, value_name = "SOURCE")]
    from: Source,
    /// Only records of this race type; may be given several times [default: those that run what it is compared with]
    #[arg(long, value_name = "T")]
    race_type: Vec<String>,
    /// Of a stream: only records that arrived since. A time such as 2026-11-23T18:51:00Z, or a duration such as 10m
    /// [default: all that the stream holds]
    #[arg(long, value_name = "T")]
    since: Option<Since>,
    /// Of dead letters: only those with this reason, such as `rejected`.
    #[arg(long, value_name = "R")]
    reason: Option<Cause>,
    /// Show the figures of this racer; may be given several times. It is the value of the field in sort keys.
    #[arg(long, value_name = "NAME")]
    racer: Vec<String>,
    /// Show the figures of the groups with this sort key; may be given several times.
    #[arg(long, value_name = "SORTKEY")]
    group: Vec<String>,
    /// How many entries each list has at most.
    #[arg(long, value_name = "N", default_value_t = 10)]
    limit: usize,
}

/// A rulebook: published, or in a file.
#[derive(Clone, Debug)]
enum RulebookArgument {
    Published(RulebookName),
    File(PathBuf),
}

/// What a rulebook is compared with.
#[derive(Clone, Debug)]
enum AgainstArgument {
    Rulebook(RulebookArgument),
    Committed,
}

/// The text names no rulebook.
#[derive(Debug, thiserror::Error)]
#[error("{0}, or the name of a file that ends with .toml")]
struct NotARulebook(NotAName);

impl FromStr for RulebookArgument {
    type Err = NotARulebook;

    fn from_str(text: &str) -> Result<Self, NotARulebook> {
        match text.parse() {
            Ok(name) => Ok(Self::Published(name)),
            Err(_) if text.ends_with(".toml") => Ok(Self::File(text.into())),
            Err(error) => Err(NotARulebook(error)),
        }
    }
}

impl FromStr for AgainstArgument {
    type Err = NotARulebook;

    fn from_str(text: &str) -> Result<Self, NotARulebook> {
        match text {
            "committed" => Ok(Self::Committed),
            rulebook => rulebook.parse().map(Self::Rulebook),
        }
    }
}

/// A rulebook that was found.
enum Found {
    Published(Digest),
    Prepared(Box<Prepared>),
}

/// What the replay works with.
struct Replaying<'a> {
    session: &'a Session,
    engine: Engine,
    /// The rules of the registry.
    rules: Rules,
}

/// Replays, and shows what differs.
pub(super) fn replay(session: &Session, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    arguments.from.check(arguments.since.as_ref(), arguments.reason)?;
    let rules = session.runtime.block_on(Tail::open(&session.registry))?.0.rules;
    let replaying = Replaying { session, engine: session.engine()?, rules };
    let shown = replaying.run(arguments)?;
    match session.json {
        true => report::print_json(&as_json::comparison(&shown))?,
        false => text::lines(&shown).iter().try_for_each(|line| report::print_line(line))?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Replaying<'_> {
    fn run(&self, arguments: &Arguments) -> anyhow::Result<Shown> {
        let runtime = &self.session.runtime;
        let rulebook = self.find(&arguments.rules, arguments.plugins.as_deref())?;
        let other = match &arguments.against {
            AgainstArgument::Rulebook(other) => Some(self.find(other, arguments.plugins.as_deref())?),
            AgainstArgument::Committed => None,
        };
        let race_types = self.race_types(&arguments.race_type, &rulebook, other.as_ref())?;
        let trial = self.trial(&rulebook, &race_types)?;
        let other = other.map(|other| self.trial(&other, &race_types)).transpose()?;
        let named = named(arguments, &trial)?;

        // A store that is not needed is not opened: another process may hold it.
        let store = match other.is_none() || arguments.from.needs_store() {
            true => open_store_to_read(&self.session.config, runtime)?,
            false => AnyStore::Memory(MemoryStore::default()),
        };
        let baseline = match &other {
            Some(other) => Baseline::Rulebook(other.rulebooks.clone()),
            None => Baseline::Committed(CommittedLetters::new(runtime.block_on(store.list_dead_letters())?)),
        };
        let options =
            ReplayOptions { limits: self.session.config.batch.clone(), listed: arguments.limit, named: named.clone() };
        let mut replay = Replay::new(trial.rulebooks, baseline, options);
        let comparison = runtime.block_on(async {
            let config = &self.session.config;
            let mut records = arguments.from.open(config, &store, arguments.since.as_ref(), arguments.reason).await?;
            while let Some(batch) = records.next(&config.batch).await? {
                replay.batch(&batch).await?;
            }
            anyhow::Ok(replay.finish(&store).await?)
        })?;
        let boards = self.session.config.leaderboard.iter();
        let places = boards.map(|(name, board)| Places::of((name, board), &comparison.pairs, &named, arguments.limit));
        Ok(Shown {
            places: places.collect(),
            rules: trial.id,
            against: other.map(|other| other.id),
            race_types,
            from: arguments.from.to_string(),
            comparison,
        })
    }

    fn find(&self, rulebook: &RulebookArgument, folder: Option<&Path>) -> anyhow::Result<Found> {
        match rulebook {
            RulebookArgument::Published(name) => Ok(Found::Published(name.resolve(&self.rules)?)),
            RulebookArgument::File(file) => {
                let remote = remote::fetch(self.session, remote_plugins(file))?;
                let files = PluginFiles { folder: folder.map(Path::to_owned), remote, ..PluginFiles::default() };
                let prepared = prepare(&self.engine, &self.session.registry, file, &files);
                let prepared = self.session.runtime.block_on(prepared).with_context(|| file.display().to_string())?;
                Ok(Found::Prepared(Box::new(prepared)))
            }
        }
    }

    /// The race types to replay: those that were named, or those that run what the rulebook is compared with. If none does,
    /// those that run a rulebook of the same name; if none does either, all.
    fn race_types(&self, named: &[String], rulebook: &Found, against: Option<&Found>) -> anyhow::Result<Vec<String>> {
        if !named.is_empty() {
            return Ok(named.iter().cloned().collect::<BTreeSet<String>>().into_iter().collect());
        }
        let running = |is_wanted: &dyn Fn(Digest) -> bool| -> Vec<String> {
            let routing = self.rules.routing.iter();
            let wanted = routing.filter(|(_, routing)| routing.current.is_some_and(is_wanted));
            wanted.map(|(race_type, _)| race_type.clone()).collect()
        };
        let name = |digest: Digest| self.rules.rulebooks.get(&digest).map(|published| published.name.as_str());
        let ours = match rulebook {
            Found::Published(digest) => name(*digest),
            Found::Prepared(prepared) => Some(prepared.published.name.as_str()),
        };
        let against = against.map(|found| match found {
            Found::Published(digest) => *digest,
            Found::Prepared(prepared) => prepared.digest,
        });
        let choices = [
            running(&|current| Some(current) == against),
            running(&|current| name(current) == ours),
            self.rules.routing.keys().cloned().collect(),
        ];
        let found = choices.into_iter().find(|race_types| !race_types.is_empty());
        found.context("no race type runs a rulebook yet: name those to replay with --race-type T")
    }

    fn trial(&self, found: &Found, race_types: &[String]) -> anyhow::Result<ReplayRules> {
        let rulebook = match found {
            Found::Published(digest) => ReplayedRulebook::Published { digest: *digest, rules: &self.rules },
            Found::Prepared(prepared) => ReplayedRulebook::Prepared(prepared),
        };
        let operator = self.session.operator();
        let trial = replay_rules(&operator, &self.engine, rulebook, race_types);
        Ok(self.session.runtime.block_on(trial)?)
    }
}

/// The sort keys of the groups whose figures are wanted.
fn named(arguments: &Arguments, trial: &ReplayRules) -> anyhow::Result<BTreeSet<String>> {
    let mut named: BTreeSet<String> = arguments.group.iter().cloned().collect();
    for racer in &arguments.racer {
        let keys = trial.document.aggregate.iter().filter_map(|aggregate| aggregate.key.sort.with_only_field(racer));
        let keys: Vec<String> = keys.collect();
        if keys.is_empty() {
            bail!(
                "--racer {racer}: no sort key of {} has exactly one field; name groups with --group SORTKEY",
                trial.id
            );
        }
        named.extend(keys);
    }
    Ok(named)
}
