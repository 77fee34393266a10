//! `paceline table`.

use clap::Subcommand;
use paceline_aws::dynamodb::client;
use paceline_aws::dynamodb::table::{Billing, check, create};

use super::{ConfigArgument, runtime};
use crate::{Failure, report};

/// What `table` is told.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make the table and that of the dead letters, where they are not there yet.
    Create {
        #[command(flatten)]
        config: ConfigArgument,
        /// Read capacity units; without both, the tables are paid by request.
        #[arg(long, value_name = "RCU", requires = "write_units")]
        read_units: Option<u32>,
        /// Write capacity units; the index gets as many.
        #[arg(long, value_name = "WCU", requires = "read_units")]
        write_units: Option<u32>,
    },
    /// Say what of the tables differs from what paceline needs.
    Check {
        #[command(flatten)]
        config: ConfigArgument,
    },
}

/// Makes or checks the tables.
pub(crate) fn table(arguments: &Arguments) -> Result<(), Failure> {
    let (Action::Create { config, .. } | Action::Check { config }) = &arguments.action;
    let loaded = config.load()?;
    let dynamodb = loaded
        .store
        .dynamodb
        .as_ref()
        .ok_or_else(|| format!("{}: there is no [store.dynamodb]", config.config.display()))?;
    runtime()?.block_on(async {
        let failed = |error: paceline_pipeline::store::StoreError| error.to_string();
        let client = client(dynamodb).await.map_err(failed)?;
        match &arguments.action {
            Action::Create { read_units, write_units, .. } => {
                let billing = match (read_units, write_units) {
                    (Some(read), Some(write)) => Billing::Provisioned { read: *read, write: *write },
                    _ => Billing::OnDemand,
                };
                create(&client, dynamodb, billing).await.map_err(failed)?;
                report::print_line(&format!(
                    "the tables {} and {} are there",
                    dynamodb.table,
                    dynamodb.dead_letter_table()
                ))
            }
            Action::Check { .. } => {
                let differences = check(&client, dynamodb).await.map_err(failed)?;
                for difference in &differences {
                    report::print_line(&difference.to_string())?;
                }
                match differences.iter().filter(|difference| !difference.note).count() {
                    0 => report::print_line(&format!("the table {} will do", dynamodb.table)),
                    wrong => Err(format!("the table {} will not do: {wrong} differences", dynamodb.table)),
                }
            }
        }
    })
}
