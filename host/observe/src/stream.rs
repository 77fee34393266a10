//! The stream: its summary, its shards, its fan-out consumers.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::StreamMode as SdkMode;
use paceline_doctor::Timestamp;
use paceline_doctor::history::{Consumer, Shard, Stream, StreamMode, Unavailable};

use crate::failure::Failure;

/// Reads a stream. Without its summary there is none; shards and consumers that cannot be read are noted.
pub(crate) async fn read(client: &Client, name: &str, unavailable: &mut Vec<Unavailable>) -> Result<Stream, Failure> {
    let failed = |error| Failure::new("describing the stream", "kinesis:DescribeStreamSummary", error);
    let response = client.describe_stream_summary().stream_name(name).send().await.map_err(failed)?;
    let Some(summary) = response.stream_description_summary else {
        let empty =
            aws_smithy_runtime_api::client::result::SdkError::construction_failure("an answer without a summary");
        return Err(failed(empty));
    };
    let shards = shards(client, name).await.unwrap_or_else(|failure| {
        unavailable.push(failure.note(format!("shards of stream {name}")));
        Vec::new()
    });
    let consumers = consumers(client, &summary.stream_arn).await.unwrap_or_else(|failure| {
        unavailable.push(failure.note(format!("fan-out consumers of stream {name}")));
        Vec::new()
    });
    let on_demand = summary.stream_mode_details().is_some_and(|mode| mode.stream_mode == SdkMode::OnDemand);
    let shard_metrics = summary.enhanced_monitoring().iter().flat_map(|metrics| metrics.shard_level_metrics());
    Ok(Stream {
        name: name.to_owned(),
        mode: if on_demand { StreamMode::OnDemand } else { StreamMode::Provisioned },
        status: summary.stream_status.as_str().to_owned(),
        retention_hours: u32::try_from(summary.retention_period_hours).unwrap_or_default(),
        shard_metrics: shard_metrics.map(|metric| metric.as_str().to_owned()).collect(),
        arn: Some(summary.stream_arn),
        shards,
        consumers,
    })
}

/// All shards that the stream still has.
async fn shards(client: &Client, name: &str) -> Result<Vec<Shard>, Failure> {
    let failed = |error| Failure::new("listing the shards", "kinesis:ListShards", error);
    let (mut shards, mut next) = (Vec::new(), None::<String>);
    loop {
        // Kinesis accepts the name only with the first page.
        let request = match next {
            Some(token) => client.list_shards().next_token(token),
            None => client.list_shards().stream_name(name),
        };
        let response = request.send().await.map_err(failed)?;
        shards.extend(response.shards().iter().map(as_shard));
        next = response.next_token;
        if next.is_none() {
            return Ok(shards);
        }
    }
}

fn as_shard(shard: &aws_sdk_kinesis::types::Shard) -> Shard {
    let range = shard.hash_key_range().and_then(|range| {
        Some((range.starting_hash_key.parse::<u128>().ok()?, range.ending_hash_key.parse::<u128>().ok()?))
    });
    let share = range.map_or(0.0, |(first, last)| last.saturating_sub(first) as f64 / u128::MAX as f64);
    let open = shard.sequence_number_range().is_none_or(|range| range.ending_sequence_number.is_none());
    Shard { id: shard.shard_id.clone(), open, share }
}

async fn consumers(client: &Client, arn: &str) -> Result<Vec<Consumer>, Failure> {
    let failed = |error| Failure::new("listing the fan-out consumers", "kinesis:ListStreamConsumers", error);
    let mut consumers = Vec::new();
    let mut pages = client.list_stream_consumers().stream_arn(arn).into_paginator().send();
    while let Some(page) = pages.next().await {
        consumers.extend(page.map_err(failed)?.consumers().iter().map(|consumer| {
            Consumer {
                name: consumer.consumer_name.clone(),
                status: consumer.consumer_status.as_str().to_owned(),
                created: consumer
                    .consumer_creation_timestamp
                    .to_millis()
                    .ok()
                    .and_then(|ms| u64::try_from(ms).ok())
                    .map(Timestamp),
            }
        }));
    }
    Ok(consumers)
}
