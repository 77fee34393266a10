//! The faults and limits of Kinesis, in its own error messages.
//!
//! # Layout
//!
//! - `puts`: `PutRecord` and `PutRecords`.
//! - `reads`: `GetShardIterator` and `GetRecords`.
//! - `subscription`: `SubscribeToShard`.
//! - `list_shards`: the open shards of a stream.
//! - `request`, `response`: what is read from requests; error responses.
//! - `state`: `shards`, `buckets`, `iterators` and `holders`, by stream.
//!
//! Requests and responses are JSON. A request in CBOR is forwarded unchanged and meets only the faults that any request
//! meets.

mod buckets;
mod holders;
mod iterators;
mod list_shards;
mod puts;
mod reads;
mod request;
mod response;
mod shards;
pub(super) mod state;
mod subscription;

use hyper::Response;

use super::body::ResponseBody;
use super::call::Call;

pub(super) use response::{server_error, throttled};

/// Responds to a request.
pub(super) async fn respond(call: &mut Call) -> Response<ResponseBody> {
    let response = match call.operation.as_str() {
        "PutRecord" => puts::put_record(call).await,
        "PutRecords" => puts::put_records(call).await,
        "GetShardIterator" => reads::get_shard_iterator(call).await,
        "GetRecords" => reads::get_records(call).await,
        "SubscribeToShard" => return subscription::subscribe(call).await,
        _ => call.forward(call.body.clone()).await,
    };
    response.map(ResponseBody::Complete)
}
