//! Commands that only read.

use std::collections::BTreeSet;
use std::process::ExitCode;

use paceline_engine::Digest;
use paceline_pipeline::ErrorChain;
use paceline_pipeline::rules::{Change, Entry, InvalidEntry, Read, Tail};
use serde_json::{Value, json};
use similar::TextDiff;

use super::Session;
use super::change::{line, rules};
use super::name::RulebookName;
use crate::report;

pub(super) fn list(session: &Session) -> anyhow::Result<ExitCode> {
    let rules = rules(session)?;
    let mut published: Vec<_> = rules.rulebooks.iter().collect();
    published.sort_by_key(|(_, published)| (&published.name, published.version));
    let race_types = |digest| {
        let routed = rules.routing.iter().filter(|(_, routing)| routing.current == Some(digest));
        routed.map(|(race_type, _)| race_type.clone()).collect::<Vec<_>>()
    };
    if session.json {
        let rows = published.iter().map(|(digest, published)| {
            json!({
                "name": published.name,
                "version": published.version,
                "digest": digest.to_string(),
                "raceTypes": race_types(**digest),
                "plugins": published.plugins.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })
        });
        report::print_json(&rows.collect::<Value>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![["rulebook", "race types", "digest"].map(str::to_owned).to_vec()];
    rows.extend(published.iter().map(|(digest, published)| {
        let name = format!("{}@{}", published.name, published.version);
        vec![name, race_types(**digest).join(" "), digest.to_string()]
    }));
    report::print_table(&rows)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn show(session: &Session, rulebook: &RulebookName) -> anyhow::Result<ExitCode> {
    let digest = rulebook.resolve(&rules(session)?)?;
    let document = session.runtime.block_on(session.registry.rulebook(digest))?;
    match session.json {
        true => {
            report::print_json(&json!({ "digest": digest.to_string(), "rulebook": serde_json::to_value(&document)? }))?
        }
        false => report::print_line(&format!("# {rulebook}, {digest}\n{}", document.to_toml().trim_end()))?,
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn diff(session: &Session, a: &RulebookName, b: &RulebookName) -> anyhow::Result<ExitCode> {
    let rules = rules(session)?;
    let text = |name: &RulebookName| -> anyhow::Result<String> {
        let digest = name.resolve(&rules)?;
        Ok(session.runtime.block_on(session.registry.rulebook(digest))?.to_toml())
    };
    let (before, after) = (text(a)?, text(b)?);
    let diff = TextDiff::from_lines(&before, &after);
    let diff = diff.unified_diff().header(&a.to_string(), &b.to_string()).to_string();
    match session.json {
        true => report::print_json(&json!({ "a": before, "b": after, "diff": diff }))?,
        false => report::print_line(diff.trim_end())?,
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn history(session: &Session, race_type: Option<&str>) -> anyhow::Result<ExitCode> {
    let (_, reads) = session.runtime.block_on(Tail::read_whole(&session.registry))?;
    let mut rows = vec![["revision", "when", "who", "what", "why"].map(str::to_owned).to_vec()];
    let mut entries = Vec::new();
    for read in &reads {
        match read {
            Read::Entry(entry) => {
                let changes: Vec<&Change> =
                    entry.changes.iter().filter(|change| race_type.is_none_or(|only| concerns(change, only))).collect();
                if changes.is_empty() {
                    continue;
                }
                entries.push(as_json(entry));
                rows.extend(changes.iter().enumerate().map(|(at, change)| {
                    let Entry { revision, at: when, by, why, rules, .. } = &**entry;
                    let what = line(rules, change);
                    match at {
                        0 => {
                            vec![revision.to_string(), when.clone(), by.clone(), what, why.clone().unwrap_or_default()]
                        }
                        _ => vec![String::new(), String::new(), String::new(), what, String::new()],
                    }
                }));
            }
            Read::Skipped { revision, why } => {
                entries.push(json!({ "revision": revision, "skipped": why.to_string() }));
                rows.push(vec![revision.to_string(), String::new(), String::new(), format!("skipped: {why}")]);
            }
            Read::Missing { first, last, newest } => {
                entries.push(json!({ "missing": { "first": first, "last": last } }));
                rows.push(vec![first.to_string(), String::new(), String::new(), missing(*first, *last, *newest)]);
            }
        }
    }
    match session.json {
        true => report::print_json(&Value::Array(entries))?,
        false => report::print_table(&rows)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What is said of entries that are not there.
fn missing(first: u64, last: u64, newest: u64) -> String {
    let which = match first == last {
        true => format!("entry {first} is missing"),
        false => format!("the entries {first} to {last} are missing"),
    };
    format!("{which}; the log has entries up to {newest}")
}

fn as_json(entry: &Entry) -> Value {
    json!({
        "revision": entry.revision,
        "at": entry.at,
        "by": entry.by,
        "why": entry.why,
        "changes": entry.changes.iter().map(|change| json!(change)).collect::<Vec<_>>(),
    })
}

fn concerns(change: &Change, only: &str) -> bool {
    match change {
        Change::Publish { .. } | Change::Sign => false,
        Change::Activate { race_type, .. }
        | Change::Canary { race_type, .. }
        | Change::Shadow { race_type, .. }
        | Change::Promote { race_type, .. }
        | Change::Rollback { race_type, .. }
        | Change::Retire { race_type, .. }
        | Change::Repin { race_type, .. } => race_type == only,
    }
}

/// Verifies the whole registry. Fails if an entry is missing or not used, or an object is not what it should be.
///
/// An entry before the first one that a trusted key has signed is no problem: that one has the digest of what was before it,
/// and the whole rules.
pub(super) fn verify(session: &Session) -> anyhow::Result<ExitCode> {
    let (tail, reads) = session.runtime.block_on(Tail::read_whole(&session.registry))?;
    let first = reads.iter().find_map(|read| match read {
        Read::Entry(entry) => Some(entry.revision),
        Read::Skipped { .. } | Read::Missing { .. } => None,
    });
    let first = first.unwrap_or(0);
    let (mut problems, mut notes) = (Vec::new(), Vec::new());
    for read in &reads {
        match read {
            Read::Skipped { revision, why: why @ InvalidEntry::Untrusted(_) } if *revision < first => {
                notes.push(format!("entry {revision}: {why}; entry {first} is, and has the whole rules"));
            }
            Read::Skipped { revision, why } => problems.push(format!("entry {revision}: {why}")),
            Read::Missing { first, last, newest } => problems
                .push(format!("{}: put the object back from a copy of the registry", missing(*first, *last, *newest))),
            Read::Entry(_) => {}
        }
    }
    let mut plugins: BTreeSet<Digest> = BTreeSet::new();
    for (rulebook, published) in &tail.rules.rulebooks {
        plugins.extend(&published.plugins);
        if let Err(error) = session.runtime.block_on(session.registry.rulebook(*rulebook)) {
            problems.push(ErrorChain(&error).to_string());
        }
    }
    for plugin in &plugins {
        if let Err(error) = session.runtime.block_on(session.registry.plugin(*plugin)) {
            problems.push(ErrorChain(&error).to_string());
        }
    }
    if session.json {
        report::print_json(&json!({ "revision": tail.revision, "problems": problems, "notes": notes }))?;
    } else {
        for line in notes.iter().chain(&problems) {
            report::print_line(line)?;
        }
        let entries = reads.iter().filter(|read| !matches!(read, Read::Missing { .. })).count();
        let rulebooks = tail.rules.rulebooks.len();
        report::print_line(&format!("{entries} entries, {rulebooks} rulebooks, {} plugins", plugins.len()))?;
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
