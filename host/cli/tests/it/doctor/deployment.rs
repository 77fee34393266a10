//! A deployment in moto: a stream, a function with a mapping, tables, a queue, and metrics of CloudWatch.

use std::time::{Duration, SystemTime};

use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType,
    ProvisionedThroughput, ScalarAttributeType,
};
use aws_sdk_kinesis::types::MetricsName;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{
    DestinationConfig, Environment, EventSourcePosition, FunctionCode, FunctionResponseType, OnFailure, Runtime,
};
use paceline_aws::sdk::load;
use paceline_testbed::environment;

use crate::support::block_on;

/// A deployment of its own name.
pub(crate) struct Deployment {
    name: String,
    endpoint: String,
    cloudwatch: aws_sdk_cloudwatch::Client,
}

impl Deployment {
    pub(crate) fn create() -> Self {
        Self::named(paceline_testbed::dynamodb::unique("doctor"))
    }

    /// Stream, function, table and queue have this name.
    pub(crate) fn named(name: String) -> Self {
        let endpoint = std::env::var(environment::MOTO_ENDPOINT).unwrap();
        block_on(async {
            let config = load(Some("us-east-1"), Some(&endpoint), "the test").await.unwrap();
            let kinesis = aws_sdk_kinesis::Client::new(&config);
            kinesis.create_stream().stream_name(&name).shard_count(1).send().await.unwrap();
            let summary = kinesis.describe_stream_summary().stream_name(&name).send().await.unwrap();
            let stream = summary.stream_description_summary.unwrap().stream_arn;
            let sqs = aws_sdk_sqs::Client::new(&config);
            sqs.create_queue().queue_name(&name).send().await.unwrap();
            let dynamodb = aws_sdk_dynamodb::Client::new(&config);
            table(&dynamodb, &name).await;
            letters(&dynamodb, &format!("{name}-letters")).await;
            function(&aws_sdk_lambda::Client::new(&config), &name, &stream).await;
            Self { endpoint: endpoint.clone(), cloudwatch: aws_sdk_cloudwatch::Client::new(&config), name }
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Another stream, with so many shards and a metric by shard. Returns its name.
    pub(super) fn many_shards(&self, count: i32) -> String {
        let name = format!("{}-many", self.name);
        block_on(async {
            let config = load(Some("us-east-1"), Some(&self.endpoint), "the test").await.unwrap();
            let kinesis = aws_sdk_kinesis::Client::new(&config);
            kinesis.create_stream().stream_name(&name).shard_count(count).send().await.unwrap();
            let metrics = kinesis.enable_enhanced_monitoring().stream_name(&name);
            metrics.shard_level_metrics(MetricsName::IncomingRecords).send().await.unwrap();
        });
        name
    }

    /// Puts one value, two minutes ago.
    pub(super) fn put(&self, namespace: &str, metric: &str, dimensions: &[(&str, &str)], value: f64) {
        self.put_minutes(namespace, metric, dimensions, &[0.0, value]);
    }

    /// Puts a value for each of the last minutes, the newest last. Zeros are left out.
    fn put_minutes(&self, namespace: &str, metric: &str, dimensions: &[(&str, &str)], values: &[f64]) {
        let dimensions: Vec<Dimension> =
            dimensions.iter().map(|(name, value)| Dimension::builder().name(*name).value(*value).build()).collect();
        let now = SystemTime::now();
        let data = values.iter().rev().enumerate().filter(|(_, value)| **value != 0.0).map(|(ago, value)| {
            let at = now - Duration::from_secs(60 * (ago as u64 + 1));
            MetricDatum::builder()
                .metric_name(metric)
                .set_dimensions(Some(dimensions.clone()))
                .timestamp(at.into())
                .unit(StandardUnit::None)
                .value(*value)
                .build()
        });
        let request = self.cloudwatch.put_metric_data().namespace(namespace).set_metric_data(Some(data.collect()));
        block_on(request.send()).unwrap();
    }

    /// The article's trouble: a full shard, a table whose bursts are used up, a function that runs into its time-out and
    /// an age that grows.
    pub(super) fn trouble(&self) {
        let name = self.name.clone();
        let minutes = |value: &dyn Fn(f64) -> f64| (0..20).map(|minute| value(f64::from(minute))).collect::<Vec<_>>();
        let stream = [("StreamName", name.as_str())];
        let function = [("FunctionName", name.as_str())];
        let table = [("TableName", name.as_str())];
        self.put_minutes("AWS/Kinesis", "IncomingRecords", &stream, &minutes(&|_| 59_500.0));
        self.put_minutes("AWS/Kinesis", "IncomingBytes", &stream, &minutes(&|_| 10_000_000.0));
        let age = minutes(&|minute| 1_000.0 + (minute - 5.0).max(0.0) * 55_000.0);
        self.put_minutes("AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", &stream, &age);
        self.put_minutes("AWS/Lambda", "IteratorAge", &function, &age);
        let duration = minutes(&|minute| if minute < 5.0 { 800.0 } else { 15_000.0 });
        self.put_minutes("AWS/Lambda", "Duration", &function, &duration);
        self.put_minutes("AWS/Lambda", "Invocations", &function, &minutes(&|_| 60.0));
        let errors = minutes(&|minute| if minute < 5.0 { 0.0 } else { 4.0 });
        self.put_minutes("AWS/Lambda", "Errors", &function, &errors);
        self.put_minutes("AWS/Lambda", "ConcurrentExecutions", &function, &minutes(&|_| 1.0));
        let consumed = minutes(&|minute| if minute < 5.0 { 3_600.0 } else { 1_200.0 });
        self.put_minutes("AWS/DynamoDB", "ConsumedWriteCapacityUnits", &table, &consumed);
        let throttled = minutes(&|minute| if minute < 5.0 { 0.0 } else { 900.0 });
        self.put_minutes("AWS/DynamoDB", "WriteThrottleEvents", &table, &throttled);
        self.put_minutes("AWS/DynamoDB", "WriteProvisionedThroughputThrottleEvents", &table, &throttled);
    }
}

async fn table(client: &aws_sdk_dynamodb::Client, name: &str) {
    let key = |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
    let attribute =
        |name: &str, kind| AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap();
    let units = |write| ProvisionedThroughput::builder().read_capacity_units(10).write_capacity_units(write).build();
    let index = GlobalSecondaryIndex::builder()
        .index_name("GSI_Index")
        .key_schema(key("GSI", KeyType::Hash))
        .key_schema(key("SK", KeyType::Range))
        .projection(Projection::builder().projection_type(ProjectionType::All).build())
        .provisioned_throughput(units(10).unwrap())
        .build()
        .unwrap();
    client
        .create_table()
        .table_name(name)
        .attribute_definitions(attribute("PK", ScalarAttributeType::S))
        .attribute_definitions(attribute("SK", ScalarAttributeType::S))
        .attribute_definitions(attribute("GSI", ScalarAttributeType::N))
        .key_schema(key("PK", KeyType::Hash))
        .key_schema(key("SK", KeyType::Range))
        .global_secondary_indexes(index)
        .provisioned_throughput(units(20).unwrap())
        .send()
        .await
        .unwrap();
}

async fn letters(client: &aws_sdk_dynamodb::Client, name: &str) {
    let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash).build().unwrap();
    let attribute =
        AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S).build().unwrap();
    let request = client.create_table().table_name(name).key_schema(key).attribute_definitions(attribute);
    request.billing_mode(BillingMode::PayPerRequest).send().await.unwrap();
}

async fn function(client: &aws_sdk_lambda::Client, name: &str, stream: &str) {
    let variables = Environment::builder()
        .variables("PACELINE_TABLE", name)
        .variables("PACELINE_DEAD_LETTERS", format!("{name}-letters"))
        .variables("PACELINE_METRICS_NAMESPACE", "paceline");
    // An empty archive: nobody invokes the function.
    let archive = [b"PK\x05\x06".as_slice(), &[0; 18]].concat();
    let create = client
        .create_function()
        .function_name(name)
        .role("arn:aws:iam::123456789012:role/function")
        .runtime(Runtime::Providedal2023)
        .handler("bootstrap")
        .code(FunctionCode::builder().zip_file(Blob::new(archive)).build())
        .timeout(15)
        .memory_size(1_024)
        .environment(variables.build());
    create.send().await.unwrap();
    let queue = format!("arn:aws:sqs:us-east-1:123456789012:{name}");
    let destination = DestinationConfig::builder().on_failure(OnFailure::builder().destination(queue).build()).build();
    let mapping = client
        .create_event_source_mapping()
        .function_name(name)
        .event_source_arn(stream)
        .batch_size(1_000)
        .maximum_batching_window_in_seconds(1)
        .parallelization_factor(1)
        .maximum_retry_attempts(3)
        .starting_position(EventSourcePosition::TrimHorizon)
        .function_response_types(FunctionResponseType::ReportBatchItemFailures)
        .destination_config(destination);
    mapping.send().await.unwrap();
}
