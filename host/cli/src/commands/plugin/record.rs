//! `paceline plugin record`: sample events for a plugin from recorded records.

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use paceline_config::AnyStore;
use paceline_kit::record::Kept;
use paceline_pipeline::model::{Cause, Pointer};
use paceline_pipeline::store::MemoryStore;

use super::sample::pointer;
use super::subject::SubjectArguments;
use crate::commands::recorded::{Since, Source};
use crate::report;
use crate::setup::{open_store_to_read, runtime};

/// Arguments of `paceline plugin record`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    subject: SubjectArguments,
    /// Where the records come from: a file of newline-delimited JSON, `-` for standard input, `dead-letters` for those of
    /// the store, or `stream` for the Kinesis stream. Store and stream are those of the configuration.
    #[arg(long, value_name = "SOURCE")]
    from: Source,
    /// Of a stream: only records that arrived since. A time such as 2026-11-23T18:51:00Z, or a duration such as 10m
    /// [default: all that the stream holds]
    #[arg(long, value_name = "T")]
    since: Option<Since>,
    /// Of dead letters: only those with this reason, such as `rejected`.
    #[arg(long, value_name = "R")]
    reason: Option<Cause>,
    /// How many events are written at most.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    max_events: u64,
    /// A field that is kept beside those that the plugin reads; may be given several times.
    #[arg(long, value_name = "POINTER", value_parser = pointer)]
    keep: Vec<Pointer>,
    /// The file that the events are written to. It must not exist.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Writes the events.
pub(super) fn record(arguments: &Arguments) -> anyhow::Result<()> {
    arguments.from.check(arguments.since.as_ref(), arguments.reason)?;
    let wanted = arguments.subject.read()?;
    let Some(config) = &wanted.config else {
        bail!("`plugin record` needs the configuration of a host: name it with --config");
    };
    let subject = wanted.subject()?;
    let grouping = wanted.grouping()?;
    let others = arguments.keep.iter().cloned().chain(grouping.group).chain(grouping.score);
    let kept = Kept::new(subject.fields(), others)?;
    let runtime = runtime()?;
    let store = match arguments.from.needs_store() {
        true => open_store_to_read(config, &runtime)?,
        false => AnyStore::Memory(MemoryStore::default()),
    };
    let max_events = usize::try_from(arguments.max_events)?;
    let (mut events, mut seen, mut left_out) = (Vec::new(), HashSet::new(), 0);
    runtime.block_on(async {
        let (since, reason) = (arguments.since.as_ref(), arguments.reason);
        let mut records = arguments.from.open(config, &store, since, reason).await?;
        while events.len() < max_events
            && let Some(batch) = records.next(&config.batch).await?
        {
            for record in 0..batch.records.len() {
                match kept.event(batch.payload(record)) {
                    // Records that differ only in what no plugin reads are one event.
                    Some(event) if seen.insert(event.clone()) => events.push(event),
                    Some(_) => {}
                    None => left_out += 1,
                }
            }
        }
        anyhow::Ok(())
    })?;
    events.truncate(max_events);
    if events.is_empty() {
        let which = match (left_out, arguments.reason) {
            (0, Some(reason)) => format!("no records with the reason `{}`", reason.as_str()),
            (0, None) => "no records".to_owned(),
            (count, _) => format!("no records that are JSON objects, but {count} that are none"),
        };
        bail!("{}: there are {which}", arguments.from);
    }
    let out = &arguments.out;
    let mut file = OpenOptions::new().write(true).create_new(true).open(out).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => anyhow!("{} exists already: name another file with --out", out.display()),
        _ => anyhow::Error::new(error).context(out.display().to_string()),
    })?;
    file.write_all((events.join("\n") + "\n").as_bytes()).with_context(|| out.display().to_string())?;
    let note = match left_out {
        0 => String::new(),
        count => format!("; left out, not JSON objects: {count}"),
    };
    report::print_line(&format!("{}  {}{note}", out.display(), report::counted(events.len(), "event")))
}
