//! One `BatchGetItem`, repeated for the keys that DynamoDB leaves unprocessed.

use std::collections::HashSet;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{KeysAndAttributes, ReturnConsumedCapacity};

use super::error::{TableError, TableErrorKind, TableRef};
use super::item::Map;
use super::usage::UsageCounter;

/// The result of a `BatchGetItem`, which may be partial.
pub(super) struct BatchGetResult {
    /// The items found.
    pub(super) items: Vec<Map>,
    /// The keys without an item.
    pub(super) absent: Vec<Map>,
    /// The error that left the other keys unread.
    pub(super) error: Option<TableError>,
}

/// Gets up to 100 items. DynamoDB leaves keys unprocessed when the response would exceed 16 MB or when it throttles;
/// these are requested again as long as each response processes some.
pub(super) async fn get_batch(
    client: Client,
    table: Arc<TableRef>,
    usage: Arc<UsageCounter>,
    mut pending: Vec<Map>,
) -> BatchGetResult {
    let mut result = BatchGetResult { items: Vec::new(), absent: Vec::new(), error: None };
    while !pending.is_empty() {
        let keys = KeysAndAttributes::builder().set_keys(Some(pending.clone())).consistent_read(true).build();
        usage.add_request();
        let request = client
            .batch_get_item()
            .request_items(&table.table, keys.expect("the keys are set"))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let response = match Box::pin(request.send()).await {
            Ok(response) => response,
            Err(error) => {
                result.error = Some(usage.classify(&table, "a batch of reads", error));
                return result;
            }
        };
        usage.add_reads(response.consumed_capacity());
        // The request is for a single table.
        let unprocessed = response.unprocessed_keys.unwrap_or_default().into_values().flat_map(|left| left.keys);
        let items: Vec<Map> = response.responses.unwrap_or_default().into_values().flatten().collect();

        let requested = pending.len();
        let mut names: Vec<String> = pending[0].keys().cloned().collect();
        names.sort_unstable();
        let unprocessed: HashSet<Vec<String>> = unprocessed.map(|key| key_texts(&key, &names)).collect();
        let found: HashSet<Vec<String>> = items.iter().map(|map| key_texts(map, &names)).collect();
        pending.retain(|key| !found.contains(&key_texts(key, &names)));
        let absent: Vec<Map>;
        (pending, absent) = pending.into_iter().partition(|key| unprocessed.contains(&key_texts(key, &names)));
        result.absent.extend(absent);
        result.items.extend(items);
        if pending.len() == requested {
            usage.add_unprocessed(&table);
            let what = format_args!("a batch of reads is throttled: all {requested} keys were left unprocessed");
            result.error = Some(table.error(TableErrorKind::Throttled, what));
            return result;
        }
    }
    result
}

/// The values of an item's key attributes, which have these names.
fn key_texts(map: &Map, names: &[String]) -> Vec<String> {
    let text = |name: &String| map.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
    names.iter().map(text).collect()
}
