//! A table: its capacity and its indexes.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{BillingMode, OnDemandThroughput, ProvisionedThroughputDescription};
use paceline_doctor::history::{Capacity, Index, Table};

use crate::failure::Failure;

/// Reads a table.
pub(crate) async fn read(client: &Client, name: &str) -> Result<Table, Failure> {
    let failed = |error| Failure::new("describing the table", "dynamodb:DescribeTable", error);
    let response = client.describe_table().table_name(name).send().await.map_err(failed)?;
    let Some(table) = response.table else {
        let empty = aws_smithy_runtime_api::client::result::SdkError::construction_failure("an answer without a table");
        return Err(failed(empty));
    };
    let on_demand = table.billing_mode_summary().and_then(|summary| summary.billing_mode());
    let on_demand = on_demand == Some(&BillingMode::PayPerRequest);
    let capacity = |provisioned: Option<&ProvisionedThroughputDescription>, maximum: Option<&OnDemandThroughput>| {
        let units = |value: Option<i64>| value.and_then(|value| u32::try_from(value).ok()).unwrap_or_default();
        match provisioned {
            Some(provisioned) if !on_demand => Capacity::Provisioned {
                read: units(provisioned.read_capacity_units),
                write: units(provisioned.write_capacity_units),
            },
            _ => {
                let maximum = maximum.and_then(|maximum| maximum.max_write_request_units);
                Capacity::OnDemand { max_write: maximum.and_then(|value| u32::try_from(value).ok()) }
            }
        }
    };
    let indexes = table.global_secondary_indexes().iter().map(|index| Index {
        name: index.index_name().unwrap_or_default().to_owned(),
        capacity: capacity(index.provisioned_throughput(), index.on_demand_throughput()),
    });
    let (items, bytes) = (table.item_count().unwrap_or_default(), table.table_size_bytes().unwrap_or_default());
    Ok(Table {
        name: name.to_owned(),
        status: table.table_status().map_or_else(String::new, |status| status.as_str().to_owned()),
        capacity: capacity(table.provisioned_throughput(), table.on_demand_throughput()),
        indexes: indexes.collect(),
        local_indexes: !table.local_secondary_indexes().is_empty(),
        item_bytes: (items > 0).then(|| u64::try_from(bytes / items).unwrap_or_default()),
    })
}
