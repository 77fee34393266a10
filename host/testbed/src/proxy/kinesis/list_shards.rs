//! Lists the open shards of a stream.

use serde_json::json;

use super::super::call::Call;
use super::shards::OpenShard;

/// The open shards of a stream, listed once until they are invalidated. None if the service does not list them.
pub(super) async fn open_shards(call: &Call, stream: &str) -> Vec<OpenShard> {
    if let Some(known) = call.state.kinesis().shards.get(stream) {
        return known.clone();
    }
    let mut shards = Vec::new();
    let mut request = json!({ "StreamName": stream });
    while let Some(response) = call.query("ListShards", &request).await {
        shards.extend(response["Shards"].as_array().into_iter().flatten().filter_map(OpenShard::from_json));
        match response["NextToken"].as_str() {
            Some(next) => request = json!({ "NextToken": next }),
            None => break,
        }
    }
    if !shards.is_empty() {
        call.state.kinesis().shards.insert(stream, shards.clone());
    }
    shards
}
