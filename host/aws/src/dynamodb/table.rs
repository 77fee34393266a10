//! Creating the tables, and telling how existing ones differ from what is needed.

use std::fmt;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, GlobalSecondaryIndexDescription, IndexStatus,
    KeySchemaElement, KeyType, Projection, ProjectionType, ProvisionedThroughput, ProvisionedThroughputDescription,
    ScalarAttributeType, TableDescription, TableStatus, TimeToLiveSpecification, TimeToLiveStatus,
};
use paceline_pipeline::store::StoreError;
use tokio::time::{Instant, sleep};

use super::config::DynamoDbConfig;
use super::error::{TableErrorKind, TableRef};
use super::item::{PARTITION, SORT};
use super::letters::{EXPIRES, ID};
use super::names;

/// How long a table may take to become active. It mostly takes some seconds.
const CREATION_DEADLINE: Duration = Duration::from_secs(300);

/// The first and the longest wait between two looks at a table that is being created.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How a table is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Billing {
    /// By request.
    OnDemand,
    /// By capacity, for the table and for its index alike; a table of dead letters gets a tenth of it.
    Provisioned {
        /// Read capacity units.
        read: u32,
        /// Write capacity units.
        write: u32,
    },
}

/// Which tables were created; the others were there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Created {
    /// The table of items.
    pub table: bool,
    /// The table of dead letters.
    pub dead_letters: bool,
}

/// How a table differs from what is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The table.
    pub table: String,
    /// Whether it works all the same, at a price.
    pub note: bool,
    /// What differs, and what to do.
    pub text: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.note { "note" } else { "wrong" };
        write!(f, "{kind}: table `{}`: {}", self.table, self.text)
    }
}

/// Creates the tables that are not there, and waits until they can be used. Tables that are there stay as they are.
pub async fn create(client: &Client, config: &DynamoDbConfig, billing: Billing) -> Result<Created, StoreError> {
    let (table, letters) = names(client, config);
    let created = Created {
        table: create_one(client, &table, items_table(client, &table, config, billing)).await?,
        dead_letters: create_one(client, &letters, letters_table(client, &letters, billing)).await?,
    };
    wait(client, &table).await?;
    wait(client, &letters).await?;
    expire(client, &letters).await?;
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

fn letters_table(client: &Client, table: &TableRef, billing: Billing) -> CreateTable {
    // Dead letters are to be few.
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

/// Creates a table; whether it was not there.
async fn create_one(client: &Client, table: &TableRef, request: CreateTable) -> Result<bool, StoreError> {
    if describe(client, table).await?.is_some() {
        return Ok(false);
    }
    match request.send().await {
        Ok(_) => Ok(true),
        Err(error) => match error.as_service_error() {
            // Somebody else was quicker, or an answer was lost.
            Some(CreateTableError::ResourceInUseException(_)) => Ok(false),
            _ => Err(table.classify("creating it", error).into()),
        },
    }
}

/// Waits until a table and its indexes are active.
async fn wait(client: &Client, table: &TableRef) -> Result<(), StoreError> {
    let deadline = Instant::now() + CREATION_DEADLINE;
    let mut pause = FIRST_WAIT;
    loop {
        let found = match describe(client, table).await {
            // What passes by itself passes within the deadline.
            Err(StoreError::Transient(_)) => None,
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
        if Instant::now() + pause > deadline {
            let text =
                format_args!("it is not active after {} s; look at it in the console", CREATION_DEADLINE.as_secs());
            return Err(table.error(TableErrorKind::Fatal, text).into());
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_WAIT);
    }
}

/// Has DynamoDB delete what has expired, unless it does so already.
async fn expire(client: &Client, table: &TableRef) -> Result<(), StoreError> {
    if expires(client, table).await?.as_deref() == Some(EXPIRES) {
        return Ok(());
    }
    let specification = TimeToLiveSpecification::builder().enabled(true).attribute_name(EXPIRES).build();
    client
        .update_time_to_live()
        .table_name(&table.table)
        .time_to_live_specification(specification.expect("both are set"))
        .send()
        .await
        .map_err(|error| table.classify("letting its items expire", error))?;
    Ok(())
}

/// By which attribute the items of a table expire.
async fn expires(client: &Client, table: &TableRef) -> Result<Option<String>, StoreError> {
    let answer = client
        .describe_time_to_live()
        .table_name(&table.table)
        .send()
        .await
        .map_err(|error| table.classify("looking at its time to live", error))?;
    Ok(answer
        .time_to_live_description
        .filter(|found| {
            let status = found.time_to_live_status();
            matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling))
        })
        .and_then(|found| found.attribute_name))
}

async fn describe(client: &Client, table: &TableRef) -> Result<Option<TableDescription>, StoreError> {
    match client.describe_table().table_name(&table.table).send().await {
        Ok(answer) => Ok(answer.table),
        Err(SdkError::ServiceError(error))
            if matches!(error.err(), DescribeTableError::ResourceNotFoundException(_)) =>
        {
            Ok(None)
        }
        Err(error) => Err(table.classify("looking at it", error).into()),
    }
}

/// How the tables differ from what is needed. Empty, or notes only: they can be used.
pub async fn check(client: &Client, config: &DynamoDbConfig) -> Result<Vec<Difference>, StoreError> {
    let (table, letters) = names(client, config);
    let mut report = Report { table: &table.table, differences: Vec::new() };
    match describe(client, &table).await? {
        Some(found) => report.items_table(&found, config),
        None => report.missing(),
    }
    report.table = &letters.table;
    match describe(client, &letters).await? {
        Some(found) => {
            report.keys(&found, &[(ID, KeyType::Hash)]);
            report.status(&found);
            if config.dead_letter_days > 0 {
                report.time_to_live(expires(client, &letters).await?);
            }
        }
        None => report.missing(),
    }
    Ok(report.differences)
}

struct Report<'t> {
    table: &'t str,
    differences: Vec<Difference>,
}

impl Report<'_> {
    fn wrong(&mut self, text: impl Into<String>) {
        self.differences.push(Difference { table: self.table.to_owned(), note: false, text: text.into() });
    }

    fn note(&mut self, text: impl Into<String>) {
        self.differences.push(Difference { table: self.table.to_owned(), note: true, text: text.into() });
    }

    fn missing(&mut self) {
        self.wrong("it does not exist; `paceline table create --config …` creates it");
    }

    fn items_table(&mut self, found: &TableDescription, config: &DynamoDbConfig) {
        self.keys(found, &[(PARTITION, KeyType::Hash), (SORT, KeyType::Range)]);
        self.status(found);
        let name = &config.index.name;
        match found.global_secondary_indexes().iter().find(|index| index.index_name() == Some(name)) {
            Some(index) => self.index(found, index, config),
            None => self.wrong(format!("the global index `{name}` is missing: races and ranks can't be queried by it")),
        }
        for index in found.local_secondary_indexes() {
            let name = index.index_name().unwrap_or_default();
            self.note(format!(
                "the local index `{name}` makes each write cost more, limits a partition to 10 GB, and counts towards \
                 the 400 KB of an item"
            ));
        }
    }

    fn index(&mut self, table: &TableDescription, index: &GlobalSecondaryIndexDescription, config: &DynamoDbConfig) {
        let (name, attribute) = (&config.index.name, &config.index.attribute);
        let wanted = [(attribute.as_str(), KeyType::Hash), (SORT, KeyType::Range)];
        if let Some(keys) = differing(index.key_schema(), &wanted) {
            self.wrong(format!("the index `{name}` has the keys {keys}, not {attribute} (HASH), {SORT} (RANGE)"));
        }
        self.attribute(table, attribute, ScalarAttributeType::N);
        let projection = index.projection().and_then(Projection::projection_type);
        if projection != Some(&ProjectionType::All) {
            let found = projection.map_or("nothing", ProjectionType::as_str);
            self.wrong(format!("the index `{name}` holds {found} of an item's attributes, not ALL"));
        }
        if let Some(status) = index.index_status().filter(|status| **status != IndexStatus::Active) {
            self.wrong(format!("the index `{name}` is {status}, not ACTIVE; wait and look again"));
        }
        let units = |throughput: Option<&ProvisionedThroughputDescription>| {
            throughput.and_then(|throughput| throughput.write_capacity_units()).unwrap_or(0)
        };
        let (has, needs) = (units(index.provisioned_throughput()), units(table.provisioned_throughput()));
        if has < needs {
            self.note(format!(
                "the index `{name}` has {has} write units and the table {needs}: where items have `{attribute}`, the \
                 index throttles the table's writes. Give it at least as many"
            ));
        }
    }

    fn keys(&mut self, found: &TableDescription, wanted: &[(&str, KeyType)]) {
        if let Some(keys) = differing(found.key_schema(), wanted) {
            let wanted: Vec<String> = wanted.iter().map(|(name, kind)| format!("{name} ({kind})")).collect();
            self.wrong(format!("it has the keys {keys}, not {}; keys can't be changed", wanted.join(", ")));
            return;
        }
        for (name, _) in wanted {
            self.attribute(found, name, ScalarAttributeType::S);
        }
    }

    /// The type of an attribute that is a key.
    fn attribute(&mut self, found: &TableDescription, name: &str, wanted: ScalarAttributeType) {
        let has = found.attribute_definitions().iter().find(|attribute| attribute.attribute_name() == name);
        if let Some(has) = has.map(AttributeDefinition::attribute_type).filter(|has| **has != wanted) {
            self.wrong(format!("its key `{name}` has the type {has}, not {wanted}; that can't be changed"));
        }
    }

    fn status(&mut self, found: &TableDescription) {
        match found.table_status() {
            // A table that is being updated is read and written as ever.
            Some(TableStatus::Active | TableStatus::Updating) => {}
            status => {
                let status = status.map_or("unknown", TableStatus::as_str);
                self.wrong(format!("its status is {status}, not ACTIVE"));
            }
        }
    }

    fn time_to_live(&mut self, attribute: Option<String>) {
        match attribute.as_deref() {
            Some(EXPIRES) => {}
            Some(other) => {
                self.wrong(format!("its items expire by `{other}`, not by `{EXPIRES}`: dead letters stay for ever"));
            }
            None => self.wrong(format!(
                "time to live is off: dead letters stay for ever. Turn it on for the attribute `{EXPIRES}`, or set \
                 `dead-letter-days = 0`"
            )),
        }
    }
}

/// The keys in words, where they are not those that are wanted.
fn differing(found: &[KeySchemaElement], wanted: &[(&str, KeyType)]) -> Option<String> {
    let same = found.len() == wanted.len()
        && found.iter().zip(wanted).all(|(key, (name, kind))| key.attribute_name() == *name && key.key_type() == kind);
    let words = found.iter().map(|key| format!("{} ({})", key.attribute_name(), key.key_type()));
    (!same).then(|| words.collect::<Vec<_>>().join(", "))
}
