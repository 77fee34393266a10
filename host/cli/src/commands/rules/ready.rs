//! Whether the hosts are ready for a rulebook: what they have acknowledged in the store.

use std::time::{Duration, Instant};

use anyhow::bail;
use paceline_config::AnyStore;
use paceline_engine::Digest;
use paceline_pipeline::ErrorChain;
use paceline_pipeline::rules::{Acknowledgement, Change, Tail, acknowledgements, entry_at};

use super::Session;
use super::name::RulebookName;
use crate::setup::open_store_if_there;

/// How long an activation waits for hosts. A host polls each second, and loads a rulebook in some seconds; a function that
/// has no records does not poll, and would be waited for in vain.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// How often the acknowledgements are read meanwhile.
const INTERVAL: Duration = Duration::from_millis(500);

/// What an operator wants to wait for.
#[derive(clap::Args)]
pub(super) struct WaitArguments {
    /// Do not wait for hosts that have not loaded the rulebook yet. Otherwise it waits for at most 30 s.
    #[arg(long)]
    pub(super) no_wait: bool,
    /// Go on although a host has refused the rulebook.
    #[arg(long)]
    pub(super) force: bool,
}

/// Fails if a host has refused the rulebook, and waits for hosts that have not loaded it yet. Without acknowledgements
/// there is nothing to wait for.
pub(super) fn check(session: &Session, rulebook: &RulebookName, options: &WaitArguments) -> anyhow::Result<()> {
    let (tail, _) = session.runtime.block_on(Tail::open(&session.registry))?;
    let digest = rulebook.resolve(&tail.rules)?;
    check_digest(session, &tail, digest, options)
}

/// [`check`] of a rulebook that a trial names.
pub(super) fn check_digest(
    session: &Session,
    tail: &Tail,
    digest: Digest,
    options: &WaitArguments,
) -> anyhow::Result<()> {
    let store = match open_store_if_there(&session.config, &session.runtime) {
        Ok(Some(store)) => store,
        Ok(None) => return Ok(()),
        Err(error) => {
            tracing::warn!("the hosts are not known, because the store can't be opened: {}", ErrorChain(&*error));
            return Ok(());
        }
    };
    session.runtime.block_on(wait(session, &store, tail, digest, options))
}

async fn wait(
    session: &Session,
    store: &AnyStore,
    tail: &Tail,
    digest: Digest,
    options: &WaitArguments,
) -> anyhow::Result<()> {
    let give_up = Instant::now() + MAX_WAIT;
    let mut published = None;
    loop {
        let mut hosts = match acknowledgements(store).await {
            Ok(hosts) => hosts,
            Err(error) => {
                tracing::warn!("the hosts are not known: {}", ErrorChain(&error));
                return Ok(());
            }
        };
        hosts.retain(|host| host.registry == tail.registry);
        refuse(&hosts, digest, options.force)?;
        // A file is open in one process at a time: no host runs.
        if options.no_wait || matches!(store, AnyStore::Embedded(..)) {
            return Ok(());
        }
        let published = match published {
            Some(published) => published,
            None => *published.insert(published_at(session, tail, &hosts, digest).await?),
        };
        let behind: Vec<&str> =
            hosts.iter().filter(|host| host.revision < published).map(|host| host.host.as_str()).collect();
        if behind.is_empty() {
            return Ok(());
        }
        if Instant::now() >= give_up {
            tracing::warn!("not waiting any longer for hosts that have not loaded the rulebook: {}", behind.join(", "));
            return Ok(());
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn refuse(hosts: &[Acknowledgement], digest: Digest, force: bool) -> anyhow::Result<()> {
    let refusals = hosts.iter().flat_map(|host| host.refusals.iter().map(move |refusal| (host, refusal)));
    let refusals = refusals.filter(|(_, refusal)| refusal.rulebook == digest);
    let refusals: Vec<String> = refusals.map(|(host, refusal)| format!("{}: {refusal}", host.host)).collect();
    match (refusals.is_empty(), force) {
        (true, _) => Ok(()),
        (false, true) => {
            refusals.iter().for_each(|refusal| tracing::warn!("{refusal}"));
            Ok(())
        }
        (false, false) => {
            let (count, all) = (refusals.len(), refusals.join("; "));
            bail!("{count} hosts refuse the rulebook: {all}. Correct it, or use it all the same with --force")
        }
    }
}

/// The revision that published a rulebook. Only entries that some host has not read are looked at: 0 if it is none of
/// them.
async fn published_at(
    session: &Session,
    tail: &Tail,
    hosts: &[Acknowledgement],
    digest: Digest,
) -> anyhow::Result<u64> {
    let Some(least) = hosts.iter().map(|host| host.revision).min() else { return Ok(0) };
    for revision in (least + 1..=tail.revision).rev() {
        let Some(entry) = entry_at(&session.registry, revision).await? else { continue };
        if entry.changes.iter().any(|change| matches!(change, Change::Publish { rulebook } if *rulebook == digest)) {
            return Ok(revision);
        }
    }
    Ok(0)
}
