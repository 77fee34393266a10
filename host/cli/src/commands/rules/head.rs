//! The store's head item: how far hosts have followed which registry.

use std::process::ExitCode;

use anyhow::bail;
use paceline_pipeline::rules::{Head, Tail, adopt_head, read_head};
use serde_json::json;

use super::change::WOULD_CHANGE;
use super::{ChangeArguments, Session};
use crate::report;
use crate::setup::open_store;

/// Sets the head to where the registry is.
pub(super) fn adopt(session: &Session, change: &ChangeArguments) -> anyhow::Result<ExitCode> {
    let (tail, _) = session.runtime.block_on(Tail::open(&session.registry))?;
    let (Some(registry), Some(newest)) = (&tail.registry, tail.newest()) else {
        bail!("the registry {} has no rules: there is nothing to adopt", session.registry.location());
    };
    let store = open_store(&session.config, &session.runtime)?;
    let before = session.runtime.block_on(read_head(&store));
    let is_so = matches!(
        &before,
        Ok(Some(head)) if head.registry == *registry && head.position == newest
    );
    if !is_so && !change.dry_run {
        session.runtime.block_on(adopt_head(&store, &tail, &change.author()?))?;
    }
    let before = before.ok().flatten();
    if session.json {
        report::print_json(&json!({
            "registry": registry,
            "revision": newest.revision,
            "before": before.as_ref().map(as_json),
            "changed": !is_so,
            "dryRun": change.dry_run,
        }))?;
    } else {
        let was = before.map_or("nothing".to_owned(), |head| {
            format!("revision {} of the registry {}", head.position.revision, head.registry)
        });
        report::print_line(&match (is_so, change.dry_run) {
            (true, _) => format!("nothing to change: hosts follow revision {} of {registry}", newest.revision),
            (false, true) => {
                format!("would follow revision {} of the registry {registry} after {was}", newest.revision)
            }
            (false, false) => format!(
                "hosts follow revision {} of the registry {registry}, after {was}. Restart hosts that run",
                newest.revision
            ),
        })?;
    }
    Ok(match change.dry_run && !is_so {
        true => ExitCode::from(WOULD_CHANGE),
        false => ExitCode::SUCCESS,
    })
}

/// The head as JSON.
pub(super) fn as_json(head: &Head) -> serde_json::Value {
    json!({
        "registry": head.registry,
        "revision": head.position.revision,
        "digest": head.position.digest.to_string(),
        "by": head.by,
        "why": head.why,
    })
}
