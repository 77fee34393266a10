//! `paceline dead-letters`.

use std::future::pending;
use std::path::PathBuf;

use clap::Subcommand;
use paceline_config::Config;
use paceline_engine::Digest;
use paceline_pipeline::Store;
use paceline_pipeline::model::{Cause, DeadLetter};
use paceline_pipeline::receive::Redrive;
use paceline_pipeline::run::run;
use serde_json::{Value, json};

use super::{open_store, runtime};
use crate::{Failure, report};

/// What `dead-letters` is told.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The configuration file.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List them, in the order of their records.
    List,
    /// Show one with its payload.
    Show {
        /// Its name, as the list has it.
        id: String,
    },
    /// Drive them through again, by the rulebooks of today. Those that go through are removed.
    Redrive {
        /// Only those with this reason, such as `no-rulebook`.
        #[arg(long, value_name = "R")]
        reason: Option<Cause>,
    },
}

/// Looks at dead letters or drives them through again.
pub(crate) fn dead_letters(arguments: Arguments) -> Result<(), Failure> {
    let failed = |error: paceline_pipeline::store::StoreError| error.to_string();
    // An argument that may stand on either side of the action can't be demanded by the parser.
    let config = Config::load(&arguments.config.ok_or("--config FILE is missing")?)?;
    let runtime = runtime()?;
    match arguments.action {
        Action::List => {
            let letters = runtime.block_on(open_store(&config, &runtime)?.dead_letters()).map_err(failed)?;
            if arguments.json {
                return report::print_json(&letters.iter().map(as_json).collect::<Value>());
            }
            let mut rows = vec![["id", "reason", "field", "what happened"].map(str::to_owned).to_vec()];
            rows.extend(letters.into_iter().map(|DeadLetter { id, reason, .. }| {
                vec![id, reason.cause.to_string(), reason.field.unwrap_or_default(), reason.text]
            }));
            report::print_table(&rows)
        }
        Action::Show { id } => {
            let letter = runtime.block_on(open_store(&config, &runtime)?.dead_letter(&id)).map_err(failed)?;
            let letter = letter.ok_or_else(|| format!("there is no dead letter {id}"))?;
            if arguments.json {
                return report::print_json(&as_json(&letter));
            }
            show(&letter)
        }
        Action::Redrive { reason } => {
            let (pipeline, _) = runtime.block_on(paceline_config::open(&config, None))?;
            let (through, left) = runtime.block_on(async {
                let letters = pipeline.store().dead_letters().await.map_err(failed)?;
                let wanted = |letter: &DeadLetter| reason.is_none_or(|reason| letter.reason.cause == reason);
                let ids: Vec<String> = letters.into_iter().filter(wanted).map(|letter| letter.id).collect();
                let letters = pipeline.store().redrive_sequence(&ids).await.map_err(failed)?;
                let all = letters.len() as u64;
                let done = run(Redrive::new(letters), &pipeline, config.batch.clone(), pending(), |_, _| {});
                let summary = done.await.map_err(|error| error.to_string())?;
                Ok::<_, Failure>((all - summary.dead_letters(), summary.dead_letters()))
            })?;
            if arguments.json {
                return report::print_json(&json!({ "through": through, "left": left }));
            }
            report::print_line(&format!("{through} went through, {left} are dead letters still"))
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
        "rulebook": letter.reason.rulebook.as_ref().map(|(race_type, version)| {
            json!({ "raceType": race_type, "version": version })
        }),
        "partitionKey": letter.partition_key,
        "arrivalMs": letter.arrival_ms,
        "cutFrom": letter.cut_from,
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

fn show(letter: &DeadLetter) -> Result<(), Failure> {
    let mut rows = vec![
        ["id".to_owned(), letter.id.clone()],
        ["reason".to_owned(), letter.reason.cause.to_string()],
        ["what happened".to_owned(), letter.reason.text.clone()],
    ];
    let mut optional = |name: &str, value: Option<String>| rows.extend(value.map(|value| [name.to_owned(), value]));
    optional("field", letter.reason.field.clone());
    optional("plugin", letter.reason.plugin.map(|digest| Digest::from(digest).to_string()));
    optional(
        "rulebook",
        letter.reason.rulebook.as_ref().map(|(race_type, version)| format!("{race_type} version {version}")),
    );
    optional("partition key", letter.partition_key.clone());
    optional("arrival", letter.arrival_ms.map(|ms| format!("{ms} ms since 1970")));
    optional("cut from", letter.cut_from.map(|bytes| format!("{bytes} bytes")));
    rows.push(["payload".to_owned(), String::from_utf8_lossy(&letter.payload).into_owned()]);
    report::print_table(&rows.into_iter().map(Vec::from).collect::<Vec<_>>())
}
