//! `paceline table`.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use clap::Subcommand;
use paceline_aws::dynamodb::client;
use paceline_aws::dynamodb::table::{Billing, Difference, check, create};

use crate::report;
use crate::setup::{ConfigArgument, runtime};

/// Arguments of `paceline table`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Create the table and the table of dead letters, unless they exist.
    Create {
        #[command(flatten)]
        config: ConfigArgument,
        /// Read capacity units. Without both units, the tables are billed by request.
        #[arg(long, value_name = "RCU", requires = "write_units", value_parser = clap::value_parser!(u32).range(1..))]
        read_units: Option<u32>,
        /// Write capacity units. The index gets as many.
        #[arg(long, value_name = "WCU", requires = "read_units", value_parser = clap::value_parser!(u32).range(1..))]
        write_units: Option<u32>,
    },
    /// Report how the tables differ from what paceline needs.
    Check {
        #[command(flatten)]
        config: ConfigArgument,
    },
}

/// Creates or checks the tables.
pub(crate) fn table(arguments: &Arguments) -> anyhow::Result<()> {
    let (Action::Create { config, .. } | Action::Check { config }) = &arguments.action;
    let loaded = config.load()?;
    let dynamodb = loaded
        .store
        .dynamodb
        .as_ref()
        .with_context(|| format!("{}: there is no [store.dynamodb]", config.config.display()))?;
    runtime()?.block_on(async {
        let client = client(dynamodb).await?;
        let tables = format!("the tables {} and {}", dynamodb.table, dynamodb.dead_letter_table());
        let done = match &arguments.action {
            Action::Create { read_units, write_units, .. } => {
                let billing = match (read_units, write_units) {
                    (Some(read), Some(write)) => Billing::Provisioned { read: *read, write: *write },
                    _ => Billing::OnDemand,
                };
                create(&client, dynamodb, billing).await?;
                "exist"
            }
            Action::Check { .. } => "are compatible",
        };
        // One that was there before `create` may be another program's.
        print_differences(&check(&client, dynamodb).await?)?;
        report::print_line(&format!("{tables} {done}"))
    })
}

/// Prints how the tables differ from what is needed. Fails if one can't be used.
fn print_differences(differences: &[Difference]) -> anyhow::Result<()> {
    for difference in differences {
        report::print_line(&difference.to_string())?;
    }
    let errors = differences.iter().filter(|difference| difference.is_incompatible());
    let tables = Vec::from_iter(errors.clone().map(|difference| &*difference.table).collect::<BTreeSet<_>>());
    let (names, count) = (tables.join(" and "), report::counted(errors.count(), "difference"));
    match tables.len() {
        0 => Ok(()),
        1 => bail!("the table {names} is incompatible: {count}"),
        _ => bail!("the tables {names} are incompatible: {count}"),
    }
}
