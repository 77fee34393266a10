//! A folder as the wanted rules.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use paceline_engine::Digest;
use paceline_pipeline::ErrorChain;
use paceline_pipeline::rules::Registry;
use paceline_pipeline::rules::operator::{Prepared, RulesFolder};

use super::change::{make, precompile, precompile_package, rules};
use super::{ChangeArguments, Session, remote};
use crate::stop::stop_signal;

/// How often a watched folder is read. A change is applied once it was the same at two readings: a file that is being
/// written is not.
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// When a folder that was refused is tried again unchanged: the registry may have been out of reach.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Applies a folder.
pub(super) fn apply(session: &Session, folder: &Path, change: &ChangeArguments) -> anyhow::Result<ExitCode> {
    let prepared = prepare(session, folder)?;
    precompile(session, change, &prepared.values().collect::<Vec<_>>())?;
    make(session, change, &RulesFolder::requests(&prepared, &rules(session)?))
}

/// Applies a folder to a package's registry.
pub(super) fn apply_to_package(session: &Session, folder: &Path, change: &ChangeArguments) -> anyhow::Result<ExitCode> {
    let prepared = prepare(session, folder)?;
    let code = make(session, change, &RulesFolder::requests(&prepared, &rules(session)?))?;
    if !change.dry_run && !session.targets.is_empty() {
        precompile_package(session)?;
    }
    Ok(code)
}

fn prepare(session: &Session, folder: &Path) -> anyhow::Result<BTreeMap<String, Prepared>> {
    let engine = session.engine()?;
    let folder = RulesFolder::read(folder)?;
    let remote = remote::fetch(session, folder.remote_plugins())?;
    Ok(session.runtime.block_on(folder.prepare(&engine, &session.registry, remote))?)
}

/// Applies a folder whenever it changes. What is refused is reported, and changes nothing.
pub(super) fn watch(session: &Session, folder: &Path, change: &ChangeArguments) -> anyhow::Result<ExitCode> {
    let mut stop = std::pin::pin!(session.runtime.block_on(async { stop_signal(|| ()) })?);
    let (mut seen, mut applied, mut refused) = (None, None, None::<(Instant, String)>);
    loop {
        let now = Some(contents(folder));
        let again = refused.as_ref().is_some_and(|(at, _)| at.elapsed() > TRY_AGAIN_AFTER);
        if now == seen && (now != applied || again) {
            let why = apply(session, folder, change).err().map(|error| ErrorChain(error.as_ref()).to_string());
            if let Some(why) = why.as_ref().filter(|why| refused.as_ref().is_none_or(|(_, before)| before != *why)) {
                tracing::warn!("refused, and nothing changed: {why}");
            }
            refused = why.map(|why| (Instant::now(), why));
            applied.clone_from(&now);
        }
        seen = now;
        let stopped = session.runtime.block_on(async {
            tokio::select! {
                () = &mut stop => true,
                () = tokio::time::sleep(WATCH_EVERY) => false,
            }
        });
        if stopped {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// The digests of the folder's files. Files that can't be read have none.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Option<Digest>> {
    let files = RulesFolder::read(folder).map_or_else(|_| vec![folder.join("rules.toml")], |folder| folder.files());
    let digest = |file: &PathBuf| std::fs::read(file).ok().map(|bytes| Digest::of(&bytes));
    files.into_iter().map(|file| (file.clone(), digest(&file))).collect()
}

/// A registry in a folder, which continues another one. In a dry run it is in memory.
pub(super) async fn bundle(out: &Path, onto: Option<&str>, dry_run: bool) -> anyhow::Result<Registry> {
    let registry = if dry_run { Registry::memory() } else { Registry::create_folder(out)? };
    if let Some(before) = onto {
        paceline_config::registry_at(before).await?.copy_to(&registry).await?;
    }
    Ok(registry)
}
