//! `paceline dead-letters`.
//!
//! - `redrive`: dead letters, processed again.
//! - `reprocess`: batches that an event source mapping gave up; `given_up`: where they come from.

#[cfg(feature = "aws")]
mod given_up;
mod redrive;
#[cfg(feature = "aws")]
mod reprocess;

use anyhow::Context;
use clap::Subcommand;
use paceline_engine::Digest;
use paceline_pipeline::model::{Cause, DeadLetter};
use paceline_pipeline::store::DeadLetterStore;
use serde_json::{Value, json};

use self::redrive::{Wanted, redrive_selected};
use crate::report;
use crate::setup::{GlobalConfigArgument, cache, open_store_to_read, runtime};

/// Arguments of `paceline dead-letters`.
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

#[derive(Subcommand)]
enum Action {
    /// List the dead letters in the order of their records.
    List,
    /// Show a dead letter with its payload.
    Show {
        /// The id, as listed.
        id: String,
    },
    /// Process dead letters again with the current rulebooks. Those that are processed are deleted.
    Redrive {
        /// Only those with this reason, such as `no-rulebook`.
        #[arg(long, value_name = "R")]
        reason: Option<Cause>,
        /// Also those whose records may be in their groups already. Under dedup by sequence they would count twice.
        #[arg(long)]
        unsure: bool,
    },
    /// Read the records of batches that an event source mapping gave up again, store them as dead letters and redrive these.
    #[cfg(feature = "aws")]
    Reprocess(reprocess::Arguments),
}

/// Lists, shows or redrives dead letters, or makes dead letters of what was given up.
pub(crate) fn dead_letters(arguments: Arguments) -> anyhow::Result<()> {
    let config = arguments.config.load()?;
    let runtime = runtime()?;
    match arguments.action {
        Action::List => {
            let letters = runtime.block_on(open_store_to_read(&config, &runtime)?.list_dead_letters())?;
            if arguments.json {
                return report::print_json(&letters.iter().map(as_json).collect::<Value>());
            }
            let mut rows = vec![["id", "reason", "field", "details"].map(str::to_owned).to_vec()];
            rows.extend(letters.into_iter().map(|DeadLetter { id, reason, unsure, .. }| {
                let cause = format!("{}{}", reason.cause, if unsure { ", unsure" } else { "" });
                vec![id, cause, reason.field.unwrap_or_default(), reason.text]
            }));
            report::print_table(&rows)
        }
        Action::Show { id } => {
            let letter = runtime.block_on(open_store_to_read(&config, &runtime)?.get_dead_letter(&id))?;
            let letter = letter.with_context(|| format!("there is no dead letter {id}"))?;
            if arguments.json {
                return report::print_json(&as_json(&letter));
            }
            show(&letter)
        }
        Action::Redrive { reason, unsure } => {
            let (pipeline, _) = runtime.block_on(paceline_config::open(&config, cache().as_deref(), None))?;
            let redriven = runtime.block_on(redrive_selected(&pipeline, &config, Wanted { reason, unsure }))?;
            redriven.print(arguments.json)
        }
        #[cfg(feature = "aws")]
        Action::Reprocess(reprocess) => {
            let (pipeline, _) = runtime.block_on(paceline_config::open(&config, cache().as_deref(), None))?;
            runtime.block_on(reprocess::reprocess(&reprocess, &pipeline, &config))?.print(arguments.json)
        }
    }
}

fn as_json(letter: &DeadLetter) -> Value {
    let mut value = json!({
        "id": letter.id,
        "shard": letter.shard,
        "sequence": letter.position.sequence.to_string(),
        "subSequence": letter.position.sub_sequence,
        "reason": letter.reason.cause.as_str(),
        "text": letter.reason.text,
        "field": letter.reason.field,
        "plugin": letter.reason.plugin.map(|digest| Digest::from(digest).to_string()),
        "rulebook": letter.reason.rulebook.as_ref().map(|(name, version)| {
            json!({ "name": name, "version": version })
        }),
        "partitionKey": letter.partition_key,
        "arrivalMs": letter.arrival_ms,
        "cutFrom": letter.cut_from,
        "unsure": letter.unsure,
    });
    match std::str::from_utf8(&letter.payload) {
        Ok(text) => value["payload"] = text.into(),
        Err(_) => {
            let hex: String = letter.payload.iter().map(|byte| format!("{byte:02x}")).collect();
            value["payloadHex"] = hex.into();
        }
    }
    value
}

fn show(letter: &DeadLetter) -> anyhow::Result<()> {
    let mut rows = vec![
        ["id".to_owned(), letter.id.clone()],
        ["reason".to_owned(), letter.reason.cause.to_string()],
        ["details".to_owned(), letter.reason.text.clone()],
    ];
    let mut optional = |name: &str, value: Option<String>| rows.extend(value.map(|value| [name.to_owned(), value]));
    let unsure = letter.unsure.then(|| "its groups may hold the record already".to_owned());
    optional("unsure", unsure);
    optional("field", letter.reason.field.clone());
    optional("plugin", letter.reason.plugin.map(|digest| Digest::from(digest).to_string()));
    optional("rulebook", letter.reason.rulebook.as_ref().map(|(name, version)| format!("{name}@{version}")));
    optional("partition key", letter.partition_key.clone());
    optional("arrival", letter.arrival_ms.map(|ms| format!("{ms} ms since 1970")));
    optional("cut from", letter.cut_from.map(|bytes| format!("{bytes} bytes")));
    rows.push(["payload".to_owned(), String::from_utf8_lossy(&letter.payload).into_owned()]);
    report::print_table(&rows.into_iter().map(Vec::from).collect::<Vec<_>>())
}
