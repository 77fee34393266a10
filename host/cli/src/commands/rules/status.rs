//! What each race type runs, and which hosts follow the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::Context;
use paceline_config::AnyStore;
use paceline_pipeline::rules::{Acknowledgement, Entry, Head, Tail, acknowledgements, entry_at, read_head};
use paceline_pipeline::store::PinStore;
use paceline_pipeline::{ErrorChain, TrialReport};
use serde_json::{Map, Value, json};

use super::Session;
use super::head::as_json;
use super::name::shown;
use super::trial;
use crate::report;
use crate::setup::open_store_if_there;

/// The maximum number of pins that are counted for each race type. They are read for it, 7,000 in a page of DynamoDB.
const MAX_PINS: usize = 10_000;

/// What the store knows.
#[derive(Default)]
struct Stored {
    head: Option<Head>,
    hosts: Vec<Acknowledgement>,
    /// The pinned races of each race type by what they run, and whether there are more.
    pins: BTreeMap<String, (BTreeMap<String, usize>, bool)>,
    /// What the trials of race types have shown.
    trials: BTreeMap<String, TrialReport>,
}

pub(super) fn status(session: &Session) -> anyhow::Result<ExitCode> {
    let (tail, _) = session.runtime.block_on(Tail::open(&session.registry))?;
    let since = session.runtime.block_on(since(session, &tail))?;
    let stored = match open_store_if_there(&session.config, &session.runtime) {
        Ok(None) => None,
        Ok(Some(store)) => session.runtime.block_on(read(&store, &tail)).map(Some).unwrap_or_else(unknown),
        Err(error) => unknown(error),
    };
    match session.json {
        true => report::print_json(&as_document(&tail, &since, stored.as_ref()))?,
        false => print(session, &tail, &since, stored.as_ref())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn unknown(error: anyhow::Error) -> Option<Stored> {
    tracing::warn!("hosts and pinned races are not shown: {}", ErrorChain(&*error));
    None
}

/// The entries that changed what each race type runs, by revision.
async fn since(session: &Session, tail: &Tail) -> anyhow::Result<BTreeMap<u64, Entry>> {
    let mut entries = BTreeMap::new();
    for routing in tail.rules.routing.values() {
        if !entries.contains_key(&routing.since)
            && let Some(entry) = entry_at(&session.registry, routing.since).await?
        {
            entries.insert(routing.since, entry);
        }
    }
    Ok(entries)
}

async fn read(store: &AnyStore, tail: &Tail) -> anyhow::Result<Stored> {
    let mut stored = Stored { hosts: acknowledgements(store).await?, ..Stored::default() };
    stored.head = read_head(store).await.context("the head item")?;
    for race_type in tail.rules.routing.keys() {
        let mut pins = store.list_pins(race_type, MAX_PINS + 1).await?;
        let more = pins.len() > MAX_PINS;
        pins.truncate(MAX_PINS);
        let mut by_version: BTreeMap<String, usize> = BTreeMap::new();
        for (key, pin) in pins {
            let runs = tail.rules.effective(race_type, &key.value, pin);
            *by_version.entry(shown(&tail.rules, runs)).or_default() += 1;
        }
        stored.pins.insert(race_type.clone(), (by_version, more));
    }
    for (race_type, routing) in &tail.rules.routing {
        if let Some(trial) = &routing.candidate {
            stored.trials.insert(race_type.clone(), trial::read(store, tail, race_type, trial).await?);
        }
    }
    Ok(stored)
}

/// Whether a host is on the newest revision of this registry.
fn is_current(tail: &Tail, host: &Acknowledgement) -> bool {
    host.registry == tail.registry && host.revision == tail.revision
}

fn as_document(tail: &Tail, since: &BTreeMap<u64, Entry>, stored: Option<&Stored>) -> Value {
    let rules = &tail.rules;
    let race_types = rules.routing.iter().map(|(race_type, routing)| {
        let name = |digest| shown(rules, digest);
        let mut row = json!({
            "current": routing.current.map(name),
            "fallback": routing.way_back().map(name),
            "before": routing.fallback.map(name),
            "since": routing.since,
        });
        if let Some(Entry { at, by, why, .. }) = since.get(&routing.since) {
            (row["at"], row["by"], row["why"]) = (json!(at), json!(by), json!(why));
        }
        let report = stored.and_then(|stored| stored.trials.get(race_type));
        if let Some(trial) = &routing.candidate {
            row["candidate"] = trial::as_json(rules, trial, report);
        }
        if let Some((pins, more)) = stored.and_then(|stored| stored.pins.get(race_type)) {
            row["pinnedRaces"] = json!({ "byRulebook": pins, "more": more });
        }
        (race_type.clone(), row)
    });
    let mut document = json!({
        "registry": tail.registry,
        "revision": tail.revision,
        "raceTypes": race_types.collect::<Map<_, _>>(),
    });
    if let Some(stored) = stored {
        let hosts = stored.hosts.iter().map(|host| {
            let mut row = json!(host);
            row["current"] = is_current(tail, host).into();
            row
        });
        document["hosts"] = hosts.collect();
        document["head"] = stored.head.as_ref().map_or(Value::Null, as_json);
    }
    document
}

fn print(session: &Session, tail: &Tail, since: &BTreeMap<u64, Entry>, stored: Option<&Stored>) -> anyhow::Result<()> {
    report::print_line(&format!("revision {} of {}", tail.revision, session.registry.location()))?;
    let header = ["race type", "runs", "before", "since", "by", "pinned races"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(tail.rules.routing.iter().map(|(race_type, routing)| {
        let name = |digest: Option<_>| digest.map_or("-".to_owned(), |digest| shown(&tail.rules, digest));
        let current = if routing.current.is_some() { name(routing.current) } else { "(retired)".to_owned() };
        let entry = since.get(&routing.since);
        let at = entry.map_or(String::new(), |entry| format!(", {}", entry.at));
        let by = entry.map_or(String::new(), |entry| entry.by.clone());
        let pins = stored.and_then(|stored| stored.pins.get(race_type)).map_or(String::new(), pinned);
        let before = name(routing.fallback) + if routing.one_way { " (no roll-back)" } else { "" };
        vec![race_type.clone(), current, before, format!("revision {}{at}", routing.since), by, pins]
    }));
    report::print_table(&rows)?;
    for (race_type, routing) in &tail.rules.routing {
        if let Some(trial) = &routing.candidate {
            let report = stored.and_then(|stored| stored.trials.get(race_type));
            trial::print(&tail.rules, race_type, trial, report)?;
        }
    }
    match stored {
        Some(stored) => print_hosts(tail, stored),
        None => Ok(()),
    }
}

/// The races of a race type, by what they run: `12 flat@1, 3 flat@2`.
fn pinned((by_version, more): &(BTreeMap<String, usize>, bool)) -> String {
    let mut parts: Vec<String> = by_version.iter().map(|(rulebook, races)| format!("{races} {rulebook}")).collect();
    if *more {
        parts.push("more".to_owned());
    }
    parts.join(", ")
}

fn print_hosts(tail: &Tail, Stored { head, hosts, .. }: &Stored) -> anyhow::Result<()> {
    if let Some(head) = head
        && (Some(&head.registry) != tail.registry.as_ref() || head.position.revision > tail.revision)
    {
        let Head { registry, position, .. } = head;
        report::print_line(&format!(
            "hosts refuse this registry: they have followed revision {} of the registry {registry}; see `rules adopt`",
            position.revision
        ))?;
    }
    if hosts.is_empty() {
        return report::print_line("no host has acknowledged the rules");
    }
    report::print_line(&summary(tail, hosts))?;
    let mut rows = vec![["host", "kind", "revision", "since", "program"].map(str::to_owned).to_vec()];
    rows.extend(hosts.iter().map(|host| {
        let Acknowledgement { host: id, kind, revision, since, program, .. } = host;
        let other = if host.registry == tail.registry { "" } else { " of another registry" };
        vec![id.clone(), kind.clone(), format!("{revision}{other}"), since.clone(), program.clone()]
    }));
    report::print_table(&rows)?;
    for host in hosts {
        for refusal in &host.refusals {
            report::print_line(&format!("{}: {refusal}", host.host))?;
        }
        if let Some(problem) = &host.problem {
            report::print_line(&format!("{}: the rules stay as they are: {problem}", host.host))?;
        }
    }
    Ok(())
}

/// `3 of 4 hosts are on revision 17; 1 refused: flat@3`.
fn summary(tail: &Tail, hosts: &[Acknowledgement]) -> String {
    let current = hosts.iter().filter(|host| is_current(tail, host)).count();
    let refusing = hosts.iter().filter(|host| !host.refusals.is_empty()).count();
    let names = hosts.iter().flat_map(|host| &host.refusals).map(|refusal| refusal.name.as_str());
    let names: Vec<&str> = names.collect::<BTreeSet<_>>().into_iter().collect();
    let mut text = format!("{current} of {} hosts are on revision {}", hosts.len(), tail.revision);
    if refusing > 0 {
        text.push_str(&format!("; {refusing} refused: {}", names.join(", ")));
    }
    text
}
