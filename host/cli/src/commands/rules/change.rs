//! Commands that write the log.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use paceline_pipeline::rules::operator::{
    self, Changed, OneWay, PluginFiles, Prepared, Request, prepare, prepare_with_samples,
};
use paceline_pipeline::rules::{Change, Rules, Tail};
use paceline_pipeline::store::{PinKey, PinStore};
use serde_json::json;

use super::name::{RulebookName, shown};
use super::{ChangeArguments, Session, remote};
use crate::report;
use crate::setup::open_store_to_read;

/// The exit code of a dry run that would change something. 1 and 2 are those of errors.
pub(super) const WOULD_CHANGE: u8 = 3;

/// A race of a race type.
pub(super) struct Race {
    pub(super) race_type: String,
    pub(super) race: String,
}

pub(super) fn publish(
    session: &Session,
    rulebook: &Path,
    plugins: Option<PathBuf>,
    samples: Option<&Path>,
    change: &ChangeArguments,
) -> anyhow::Result<ExitCode> {
    let remote = remote::fetch(session, operator::remote_plugins(rulebook))?;
    let files = PluginFiles { folder: plugins, remote, ..PluginFiles::default() };
    let (engine, registry) = (session.engine()?, &session.registry);
    let prepared = session.runtime.block_on(async {
        match samples {
            Some(samples) => prepare_with_samples(&engine, registry, rulebook, &files, samples).await,
            None => prepare(&engine, registry, rulebook, &files).await,
        }
    });
    let prepared = prepared.with_context(|| rulebook.display().to_string())?;
    precompile(session, change, &[&prepared])?;
    make(session, change, &[Request::Publish(&prepared)])
}

pub(super) fn activate(
    session: &Session,
    rulebook: &RulebookName,
    race_type: String,
    now: bool,
    change: &ChangeArguments,
) -> anyhow::Result<ExitCode> {
    let rulebook = rulebook.resolve(&rules(session)?)?;
    make(session, change, &[Request::Activate { race_type, rulebook, now }])
}

pub(super) fn rollback(session: &Session, race_type: String, change: &ChangeArguments) -> anyhow::Result<ExitCode> {
    make(session, change, &[Request::Rollback { race_type }])
}

pub(super) fn retire(session: &Session, race_type: String, change: &ChangeArguments) -> anyhow::Result<ExitCode> {
    make(session, change, &[Request::Retire { race_type }])
}

pub(super) fn repin(
    session: &Session,
    Race { race_type, race }: &Race,
    rulebook: &RulebookName,
    change: &ChangeArguments,
) -> anyhow::Result<ExitCode> {
    let to = rulebook.resolve(&rules(session)?)?;
    let store = open_store_to_read(&session.config, &session.runtime)?;
    let key = PinKey { race_type: race_type.clone(), value: race.clone() };
    let pins = session.runtime.block_on(store.get_pins(&[key]))?;
    let Some(pin) = pins.into_iter().next().flatten() else {
        bail!("race {race} of race type {race_type} has no pin in the store: it has not begun");
    };
    make(session, change, &[Request::Repin { race_type: race_type.clone(), race: race.clone(), pin, to }])
}

/// Writes the rules as they are once more, signed.
pub(super) fn sign(session: &Session, change: &ChangeArguments) -> anyhow::Result<ExitCode> {
    if change.key_file().is_none() {
        bail!("there is no key to sign with: give its file with --key FILE or PACELINE_SIGNING_KEY");
    }
    make(session, change, &[Request::Sign])
}

/// The rules as they are.
pub(super) fn rules(session: &Session) -> anyhow::Result<Rules> {
    Ok(session.runtime.block_on(Tail::open(&session.registry))?.0.rules)
}

/// Adds compiled code of the plugins of these rulebooks for the architectures that the command names. It comes before the
/// change that lets hosts load them.
pub(super) fn precompile(session: &Session, change: &ChangeArguments, rulebooks: &[&Prepared]) -> anyhow::Result<()> {
    if change.dry_run || session.targets.is_empty() {
        return Ok(());
    }
    let key = change.author()?.key;
    let added = operator::precompile(&session.registry, key.as_ref(), rulebooks, &session.targets);
    print_compiled(session, session.runtime.block_on(added)?)
}

/// Adds compiled code of the plugins of a package's registry.
pub(super) fn precompile_package(session: &Session) -> anyhow::Result<()> {
    print_compiled(
        session,
        session.runtime.block_on(operator::precompile_package(&session.registry, &session.targets))?,
    )
}

fn print_compiled(session: &Session, plugins: usize) -> anyhow::Result<()> {
    if session.json {
        return Ok(());
    }
    let targets: Vec<_> = session.targets.iter().map(|target| target.as_str()).collect();
    report::print_line(&format!("compiled {} for {}", report::counted(plugins, "plugin"), targets.join(" and ")))
}

/// Makes changes, or shows them.
pub(super) fn make(session: &Session, change: &ChangeArguments, requests: &[Request<'_>]) -> anyhow::Result<ExitCode> {
    let operator = session.operator();
    let plan = session.runtime.block_on(operator.plan(requests))?;
    let changed = match change.dry_run {
        true => plan.changed(),
        false => session.runtime.block_on(operator.commit(&change.author()?, plan))?,
    };
    print(session, &changed, change.dry_run)?;
    Ok(match change.dry_run && !changed.changes.is_empty() {
        true => ExitCode::from(WOULD_CHANGE),
        false => ExitCode::SUCCESS,
    })
}

fn print(session: &Session, changed: &Changed, dry_run: bool) -> anyhow::Result<()> {
    let name = |digest| shown(&changed.rules, digest);
    if session.json {
        let one_way = changed.one_way.iter().map(|OneWay { race_type, fallback, why }| {
            json!({ "raceType": race_type, "fallback": name(*fallback), "why": why })
        });
        return report::print_json(&json!({
            "revision": changed.revision,
            "changes": serde_json::to_value(&changed.changes)?,
            "noRollback": one_way.collect::<Vec<_>>(),
            "dryRun": dry_run,
        }));
    }
    for change in &changed.changes {
        report::print_line(&line(&changed.rules, change))?;
    }
    for OneWay { race_type, fallback, why } in &changed.one_way {
        report::print_line(&format!("race type {race_type}: no roll-back to {}: {why}", name(*fallback)))?;
    }
    report::print_line(&match (changed.changes.is_empty(), dry_run) {
        (true, _) => format!("nothing to change (revision {})", changed.revision),
        (false, true) => format!("would be revision {}", changed.revision),
        (false, false) => format!("revision {}", changed.revision),
    })
}

/// A change as a person reads it.
pub(super) fn line(rules: &Rules, change: &Change) -> String {
    let name = |digest| shown(rules, digest);
    match change {
        Change::Publish { rulebook } => format!("publish {} ({rulebook})", name(*rulebook)),
        Change::Activate { race_type, rulebook, replaces, now } => {
            let before = replaces.map_or("nothing".to_owned(), name);
            let scope = if *now { ", for races in progress, too" } else { "" };
            format!("race type {race_type}: {before} -> {}{scope}", name(*rulebook))
        }
        Change::Canary { race_type, rulebook, beside, share, .. } => {
            format!("race type {race_type}: {share} of the new races -> {}, beside {}", name(*rulebook), name(*beside))
        }
        Change::Shadow { race_type, rulebook, beside } => {
            format!("race type {race_type}: {} as a shadow of {}", name(*rulebook), name(*beside))
        }
        Change::Promote { race_type, rulebook, replaces } => {
            format!("race type {race_type}: {} -> {}, promoted", name(*replaces), name(*rulebook))
        }
        Change::Rollback { race_type, from, to } => {
            format!("race type {race_type}: {} -> {}, rolled back", name(*from), name(*to))
        }
        Change::Retire { race_type, replaces } => {
            format!("race type {race_type}: {} -> nothing, retired", name(*replaces))
        }
        Change::Sign => "signed again".to_owned(),
        Change::Repin { race_type, race, from, to } => {
            format!("race {race} of race type {race_type}: {} -> {}", name(*from), name(*to))
        }
    }
}
