//! `paceline table`.

use anyhow::{Context, bail};
use clap::Subcommand;
use paceline_aws::dynamodb::client;
use paceline_aws::dynamodb::table::{Billing, check, create};

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
        #[arg(long, value_name = "RCU", requires = "write_units")]
        read_units: Option<u32>,
        /// Write capacity units. The index gets as many.
        #[arg(long, value_name = "WCU", requires = "read_units")]
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
        match &arguments.action {
            Action::Create { read_units, write_units, .. } => {
                let billing = match (read_units, write_units) {
                    (Some(read), Some(write)) => Billing::Provisioned { read: *read, write: *write },
                    _ => Billing::OnDemand,
                };
                create(&client, dynamodb, billing).await?;
                report::print_line(&format!("the tables {} and {} exist", dynamodb.table, dynamodb.dead_letter_table()))
            }
            Action::Check { .. } => {
                let differences = check(&client, dynamodb).await?;
                for difference in &differences {
                    report::print_line(&difference.to_string())?;
                }
                match differences.iter().filter(|difference| difference.is_incompatible()).count() {
                    0 => report::print_line(&format!("the table {} is compatible", dynamodb.table)),
                    1 => bail!("the table {} is incompatible: 1 difference", dynamodb.table),
                    count => bail!("the table {} is incompatible: {count} differences", dynamodb.table),
                }
            }
        }
    })
}
