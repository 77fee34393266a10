//! Creates and checks the tables.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, IndexStatus, KeySchemaElement, KeyType, Projection,
    ProjectionType, ProvisionedThroughput, ScalarAttributeType, TableDescription, TableStatus, TimeToLiveSpecification,
    TimeToLiveStatus,
};
use paceline_pipeline::store::StoreError;
use tokio::time::{Instant, sleep};

pub use super::difference::{Difference, Severity};

use super::config::DynamoDbConfig;
use super::dead_letter_item::{EXPIRES, ID};
use super::difference::TableCheck;
use super::error::{TableError, TableErrorKind, TableRef};
use super::item::{PARTITION, SORT};
use super::notices;
use super::table_refs;

/// The maximum time for a table to become active. It usually takes some seconds.
const CREATION_DEADLINE: Duration = Duration::from_secs(300);

/// The first and the longest interval between two requests for the status of a table that is being created.
const FIRST_POLL_INTERVAL: Duration = Duration::from_millis(50);
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(5);

/// A table's billing mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Billing {
    /// By the number of requests.
    OnDemand,
    /// By provisioned capacity. The index gets the same as its table, and the table of dead letters a tenth.
    Provisioned {
        /// Read capacity units.
        read: u32,
        /// Write capacity units.
        write: u32,
    },
}

/// The tables that were created; the others existed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Created {
    /// The table of items.
    pub table: bool,
    /// The table of dead letters.
    pub dead_letters: bool,
}

/// Creates the tables that do not exist, and waits until both can be used. Does not change existing tables, except that
/// it turns on the expiry of dead letters. In a new table of items, notices expire.
pub async fn create(client: &Client, config: &DynamoDbConfig, billing: Billing) -> Result<Created, StoreError> {
    let (table, dead_letters) = table_refs(client, config);
    let created = Created {
        table: create_table(client, &table, items_table(client, &table, config, billing)).await?,
        dead_letters: create_table(client, &dead_letters, dead_letters_table(client, &dead_letters, billing)).await?,
    };
    wait_until_active(client, &table).await?;
    wait_until_active(client, &dead_letters).await?;
    turn_on_expiry(client, &dead_letters, EXPIRES).await?;
    if created.table {
        turn_on_expiry(client, &table, notices::EXPIRES).await?;
    }
    Ok(created)
}

type CreateTable = aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder;

fn items_table(client: &Client, table: &TableRef, config: &DynamoDbConfig, billing: Billing) -> CreateTable {
    let index = GlobalSecondaryIndex::builder()
        .index_name(&config.index.name)
        .key_schema(key(&config.index.attribute, KeyType::Hash))
        .key_schema(key(SORT, KeyType::Range))
        .projection(Projection::builder().projection_type(ProjectionType::All).build())
        .set_provisioned_throughput(throughput(billing));
    client
        .create_table()
        .table_name(&table.table)
        .key_schema(key(PARTITION, KeyType::Hash))
        .key_schema(key(SORT, KeyType::Range))
        .attribute_definitions(attribute(PARTITION, ScalarAttributeType::S))
        .attribute_definitions(attribute(SORT, ScalarAttributeType::S))
        .attribute_definitions(attribute(&config.index.attribute, ScalarAttributeType::N))
        .global_secondary_indexes(index.build().expect("name and keys are set"))
        .billing_mode(mode(billing))
        .set_provisioned_throughput(throughput(billing))
}

fn dead_letters_table(client: &Client, table: &TableRef, billing: Billing) -> CreateTable {
    // Dead letters should be few.
    let billing = match billing {
        Billing::OnDemand => Billing::OnDemand,
        Billing::Provisioned { read, write } => {
            Billing::Provisioned { read: read.div_ceil(10), write: write.div_ceil(10) }
        }
    };
    client
        .create_table()
        .table_name(&table.table)
        .key_schema(key(ID, KeyType::Hash))
        .attribute_definitions(attribute(ID, ScalarAttributeType::S))
        .billing_mode(mode(billing))
        .set_provisioned_throughput(throughput(billing))
}

fn key(name: &str, kind: KeyType) -> KeySchemaElement {
    KeySchemaElement::builder().attribute_name(name).key_type(kind).build().expect("name and kind are set")
}

fn attribute(name: &str, kind: ScalarAttributeType) -> AttributeDefinition {
    AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().expect("name and type are set")
}

fn mode(billing: Billing) -> BillingMode {
    match billing {
        Billing::OnDemand => BillingMode::PayPerRequest,
        Billing::Provisioned { .. } => BillingMode::Provisioned,
    }
}

fn throughput(billing: Billing) -> Option<ProvisionedThroughput> {
    let Billing::Provisioned { read, write } = billing else { return None };
    let units = |units: u32| i64::from(units.max(1));
    let throughput =
        ProvisionedThroughput::builder().read_capacity_units(units(read)).write_capacity_units(units(write)).build();
    Some(throughput.expect("both are set"))
}

/// Creates a table unless it exists. Returns whether it was created.
async fn create_table(client: &Client, table: &TableRef, request: CreateTable) -> Result<bool, TableError> {
    if describe(client, table).await?.is_some() {
        return Ok(false);
    }
    match Box::pin(request.send()).await {
        Ok(_) => Ok(true),
        Err(error) => match error.as_service_error() {
            // Another process created it first, or the response to an earlier attempt was lost.
            Some(CreateTableError::ResourceInUseException(_)) => Ok(false),
            _ => Err(table.classify("creating the table", error)),
        },
    }
}

/// Waits until a table and its indexes are active.
async fn wait_until_active(client: &Client, table: &TableRef) -> Result<(), TableError> {
    let deadline = Instant::now() + CREATION_DEADLINE;
    let mut interval = FIRST_POLL_INTERVAL;
    loop {
        let found = match describe(client, table).await {
            // Retried until the deadline.
            Err(error) if error.kind.is_transient() => None,
            found => found?,
        };
        let active = found.is_some_and(|found| {
            let indexes = found.global_secondary_indexes();
            found.table_status() == Some(&TableStatus::Active)
                && indexes.iter().all(|index| index.index_status() == Some(&IndexStatus::Active))
        });
        if active {
            return Ok(());
        }
        if Instant::now() + interval > deadline {
            let seconds = CREATION_DEADLINE.as_secs();
            let what = format_args!("the table is not active after {seconds} s. See its status in the AWS console");
            return Err(table.error(TableErrorKind::Fatal, what));
        }
        sleep(interval).await;
        interval = (interval * 2).min(MAX_POLL_INTERVAL);
    }
}

/// Makes DynamoDB delete expired items.
async fn turn_on_expiry(client: &Client, table: &TableRef, attribute: &str) -> Result<(), TableError> {
    if time_to_live_attribute(client, table).await?.as_deref() == Some(attribute) {
        return Ok(());
    }
    let specification = TimeToLiveSpecification::builder().enabled(true).attribute_name(attribute).build();
    let request = client
        .update_time_to_live()
        .table_name(&table.table)
        .time_to_live_specification(specification.expect("both are set"));
    Box::pin(request.send()).await.map_err(|error| table.classify("turning on the time to live", error))?;
    Ok(())
}

/// The attribute by which the items of a table expire; `None` if time to live is off.
async fn time_to_live_attribute(client: &Client, table: &TableRef) -> Result<Option<String>, TableError> {
    let request = client.describe_time_to_live().table_name(&table.table);
    let response = Box::pin(request.send()).await.map_err(|error| table.classify("reading the time to live", error))?;
    Ok(response
        .time_to_live_description
        .filter(|found| {
            let status = found.time_to_live_status();
            matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling))
        })
        .and_then(|found| found.attribute_name))
}

/// `None`: the table does not exist.
async fn describe(client: &Client, table: &TableRef) -> Result<Option<TableDescription>, TableError> {
    match Box::pin(client.describe_table().table_name(&table.table).send()).await {
        Ok(response) => Ok(response.table),
        Err(SdkError::ServiceError(error))
            if matches!(error.err(), DescribeTableError::ResourceNotFoundException(_)) =>
        {
            Ok(None)
        }
        Err(error) => Err(table.classify("describing the table", error)),
    }
}

/// How the tables differ from those that paceline needs. They can be used unless a difference
/// [is incompatible](Difference::is_incompatible).
pub async fn check(client: &Client, config: &DynamoDbConfig) -> Result<Vec<Difference>, StoreError> {
    let (table, dead_letters) = table_refs(client, config);
    let mut items = TableCheck::new(&table.table);
    match describe(client, &table).await? {
        Some(found) => {
            items.items_table(&found, &config.index);
            items.items_time_to_live(time_to_live_attribute(client, &table).await?);
        }
        None => items.missing(),
    }
    let mut letters = TableCheck::new(&dead_letters.table);
    match describe(client, &dead_letters).await? {
        Some(found) => {
            letters.dead_letters_table(&found);
            if config.dead_letter_days > 0 {
                letters.time_to_live(time_to_live_attribute(client, &dead_letters).await?);
            }
        }
        None => letters.missing(),
    }
    Ok([items.into_differences(), letters.into_differences()].concat())
}
