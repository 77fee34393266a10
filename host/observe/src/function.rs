//! The function: its configuration and its event source mappings.

use std::collections::HashMap;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::types::{EventSourceMappingConfiguration, EventSourceMappingMetric, FunctionResponseType};
use paceline_doctor::history::{Function, Mapping, Unavailable};

use crate::failure::Failure;

/// A function, and what is found from it.
pub(crate) struct Found {
    pub(crate) function: Function,
    /// The name of the stream that it reads, if its mappings are of one.
    pub(crate) stream: Option<String>,
    /// The variables of its environment.
    pub(crate) environment: HashMap<String, String>,
}

/// Reads a function. `stream` chooses among its mappings; those of other streams are left out.
pub(crate) async fn read(
    client: &Client,
    name: &str,
    stream: Option<&str>,
    unavailable: &mut Vec<Unavailable>,
) -> Result<Found, Failure> {
    let failed = |error| Failure::new("describing the function", "lambda:GetFunctionConfiguration", error);
    let configuration = client.get_function_configuration().function_name(name).send().await.map_err(failed)?;
    let concurrency = client.get_function_concurrency().function_name(name).send().await;
    let concurrency = concurrency.map(|response| response.reserved_concurrent_executions).unwrap_or_else(|error| {
        let failure = Failure::new("reading the concurrency", "lambda:GetFunctionConcurrency", error);
        unavailable.push(failure.note(format!("reserved concurrency of function {name}")));
        None
    });
    let mut mappings = mappings(client, name).await.unwrap_or_else(|failure| {
        unavailable.push(failure.note(format!("event source mappings of function {name}")));
        Vec::new()
    });
    let found = mappings.iter().find_map(|mapping| stream_of(mapping).map(str::to_owned));
    let stream = stream.map(str::to_owned).or(found);
    mappings.retain(|mapping| stream_of(mapping).is_some() && stream_of(mapping) == stream.as_deref());
    let environment = configuration.environment().and_then(|environment| environment.variables().cloned());
    let function = Function {
        name: name.to_owned(),
        memory_mb: unsigned(configuration.memory_size),
        timeout_seconds: unsigned(configuration.timeout),
        reserved_concurrency: concurrency.and_then(|limit| u32::try_from(limit).ok()),
        mappings: mappings.iter().map(as_mapping).collect(),
    };
    Ok(Found { function, stream, environment: environment.unwrap_or_default() })
}

async fn mappings(client: &Client, name: &str) -> Result<Vec<EventSourceMappingConfiguration>, Failure> {
    let failed = |error| Failure::new("listing the event source mappings", "lambda:ListEventSourceMappings", error);
    let mut mappings = Vec::new();
    let mut pages = client.list_event_source_mappings().function_name(name).into_paginator().send();
    while let Some(page) = pages.next().await {
        mappings.extend(page.map_err(failed)?.event_source_mappings.unwrap_or_default());
    }
    Ok(mappings)
}

/// The name of the Kinesis stream, or that of a fan-out consumer's stream.
fn stream_of(mapping: &EventSourceMappingConfiguration) -> Option<&str> {
    let arn = mapping.event_source_arn()?;
    let path = arn.split_once(":kinesis:")?.1.split_once(":stream/")?.1;
    Some(path.split_once("/consumer/").map_or(path, |(stream, _)| stream))
}

fn consumer_of(mapping: &EventSourceMappingConfiguration) -> Option<String> {
    let consumer = mapping.event_source_arn()?.split_once("/consumer/")?.1;
    Some(consumer.split_once(':').map_or(consumer, |(name, _)| name).to_owned())
}

fn as_mapping(mapping: &EventSourceMappingConfiguration) -> Mapping {
    let counts = |metric: &EventSourceMappingMetric| *metric == EventSourceMappingMetric::EventCount;
    let on_failure = mapping.destination_config().and_then(|destinations| destinations.on_failure());
    let limit = |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok());
    Mapping {
        id: mapping.uuid().unwrap_or_default().to_owned(),
        state: mapping.state().unwrap_or_default().to_owned(),
        last_result: mapping.last_processing_result().map(str::to_owned),
        starting_position: mapping.starting_position().map(|position| position.as_str().to_owned()),
        batch_size: mapping.batch_size().map_or(100, |size| unsigned(Some(size))),
        batching_window_seconds: unsigned(mapping.maximum_batching_window_in_seconds),
        parallelization_factor: unsigned(mapping.parallelization_factor).max(1),
        tumbling_window_seconds: unsigned(mapping.tumbling_window_in_seconds),
        retries: limit(mapping.maximum_retry_attempts),
        max_age_seconds: limit(mapping.maximum_record_age_in_seconds),
        bisect: mapping.bisect_batch_on_function_error.unwrap_or_default(),
        reports_failures: mapping.function_response_types().contains(&FunctionResponseType::ReportBatchItemFailures),
        on_failure: on_failure.and_then(|destination| destination.destination()).map(str::to_owned),
        counts_events: mapping.metrics_config().is_some_and(|config| config.metrics().iter().any(counts)),
        consumer: consumer_of(mapping),
    }
}

fn unsigned(value: Option<i32>) -> u32 {
    value.and_then(|value| u32::try_from(value).ok()).unwrap_or_default()
}
