//! The bounds of the configuration's values. What is out of bounds is an error: a value that the program raised would not be
//! the one that its operator reads in the file.

use paceline_engine::Limits;
use paceline_pipeline::model::BatchLimits;

use crate::{Config, SourceConfig};

/// A key with its value, and the least and the most that it may be.
type Bound = (&'static str, u64, u64, u64);

/// A page of WebAssembly's memory. No instance has less.
const PAGE_BYTES: u64 = 65_536;

/// What 32-bit WebAssembly can address. More would be reserved, and no instance could have it.
const ADDRESSABLE_BYTES: u64 = 1 << 32;

/// What is wrong with the first value that is out of bounds.
pub(crate) fn check(config: &Config) -> Result<(), String> {
    let mut bounds = [batch(&config.batch), limits(&config.limits)].concat();
    bounds.extend(config.source.iter().flat_map(source));
    #[cfg(feature = "aws")]
    if let Some(dynamodb) = &config.store.dynamodb {
        bounds.push(("[store.dynamodb] request-ms", dynamodb.request_ms, 1, u64::MAX));
        bounds.push(("[store.dynamodb] concurrency", dynamodb.concurrency as u64, 1, u64::MAX));
        endpoint("[store.dynamodb]", dynamodb.endpoint.as_deref())?;
    }
    #[cfg(feature = "aws")]
    if let Some(kinesis) = config.source.as_ref().and_then(|source| source.kinesis.as_ref()) {
        endpoint("[source.kinesis]", kinesis.endpoint.as_deref())?;
    }
    bounds.into_iter().try_for_each(|(name, value, least, most)| match value {
        _ if value < least => Err(format!("{name} is {value}, at least {least} is needed")),
        _ if value > most => Err(format!("{name} is {value}, at most {most} is allowed")),
        _ => Ok(()),
    })
}

fn batch(batch: &BatchLimits) -> Vec<Bound> {
    vec![
        ("[batch] max-records", batch.max_records as u64, 1, 1_000_000),
        ("[batch] max-bytes", batch.max_bytes as u64, 1, 256 << 20),
        ("[batch] max-payload-bytes", batch.max_payload_bytes as u64, 1, 10 << 20),
    ]
}

/// With less, no call of any plugin could succeed. A ceiling below its limit has no effect.
fn limits(limits: &Limits) -> Vec<Bound> {
    vec![
        ("[limits] memory-bytes", limits.memory_bytes as u64, PAGE_BYTES, ADDRESSABLE_BYTES),
        ("[limits.ceilings] memory-bytes", limits.ceilings.memory_bytes as u64, 0, ADDRESSABLE_BYTES),
        ("[limits] fuel-per-call", limits.fuel_per_call, 1, u64::MAX),
        ("[limits] calls-per-batch", limits.calls_per_batch.into(), 1, u64::MAX),
        ("[limits] call-ms", limits.call_ms, 1, u64::MAX),
        ("[limits] returned-bytes", limits.returned_bytes as u64, 1, u64::MAX),
        ("[limits] state-bytes", limits.state_bytes as u64, 1, u64::MAX),
    ]
}

#[cfg(feature = "aws")]
fn source(source: &SourceConfig) -> Vec<Bound> {
    let Some(kinesis) = &source.kinesis else { return Vec::new() };
    vec![
        // Five reads a second of a shard, by all who read it.
        ("[source.kinesis] idle-ms", kinesis.idle_ms, 200, u64::MAX),
        ("[source.kinesis] discover-every-ms", kinesis.discover_every_ms, 100, u64::MAX),
        ("[source.kinesis] request-ms", kinesis.request_ms, 1, u64::MAX),
        // Kinesis refuses another subscription of a consumer to a shard within five seconds of the first one.
        ("[source.kinesis] resubscribe-ms", kinesis.resubscribe_ms, 5_000, u64::MAX),
    ]
}

#[cfg(not(feature = "aws"))]
fn source(_: &SourceConfig) -> Vec<Bound> {
    Vec::new()
}

/// An endpoint without a scheme is no address that can be connected to, however often it is tried.
#[cfg(feature = "aws")]
fn endpoint(section: &str, endpoint: Option<&str>) -> Result<(), String> {
    match endpoint {
        Some(url) if !url.starts_with("http://") && !url.starts_with("https://") => {
            Err(format!("{section} endpoint is `{url}`, which is not a URL such as https://HOST or http://HOST:PORT"))
        }
        _ => Ok(()),
    }
}
