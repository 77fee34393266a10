//! The faults of DynamoDB, in its own error messages.
//!
//! - `partial`: returns a part of a batch as unprocessed.
//! - `response`: a response in DynamoDB's format.
//! - `limited`: throttles the writes that a table has no units for; `capacity`: what it has left.

pub(super) mod capacity;
mod limited;
mod partial;
mod response;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::body::{FullResponse, into_parts};
use super::call::Call;
use super::counts::is_write;
use partial::PartialBatch;
use response::json_response;

/// Responds to a request; processes a batch in part if that was drawn.
pub(super) async fn respond(call: &mut Call) -> FullResponse {
    let faults = call.plan.faults.clone();
    if let Some(limits) = &faults.dynamodb
        && let Some(response) = limited::respond(call, limits).await
    {
        return response;
    }
    let batch =
        if call.plan.partial { PartialBatch::split(&call.operation, &call.body, &mut call.plan.rng) } else { None };
    let Some(batch) = batch else { return forward(call, call.body.clone()).await };
    call.state.count(|counts| counts.held_back(batch.held_back()));
    match batch.forwarded() {
        None => json_response(StatusCode::OK, batch.complete(None), &mut call.plan.rng),
        Some(forwarded) => {
            let response = forward(call, forwarded).await;
            // An error response is about the whole request.
            if response.status() == StatusCode::OK { complete(&batch, response).await } else { response }
        }
    }
}

async fn forward(call: &Call, body: Bytes) -> FullResponse {
    let (head, response) = into_parts(call.forward(body.clone()).await).await;
    call.state.count(|counts| counts.add_capacity(&call.operation, &body, &response));
    Response::from_parts(head, Full::new(response))
}

/// Adds to the response what was held back.
async fn complete(batch: &PartialBatch, response: FullResponse) -> FullResponse {
    let (mut head, body) = into_parts(response).await;
    // It is the checksum of the old body.
    head.headers.remove("x-amz-crc32");
    Response::from_parts(head, Full::new(batch.complete(Some(&body))))
}

pub(super) fn throttled(call: &mut Call) -> FullResponse {
    let access = if is_write(&call.operation, &call.body) { "Write" } else { "Read" };
    let resource = format!("arn:aws:dynamodb:us-east-1:000000000000:table/{}", table(&call.body));
    let reasons = |limit| json!([{ "reason": format!("Table{access}{limit}"), "resource": resource }]);
    let rng = &mut call.plan.rng;
    let body = match rng.u8(..3) {
        0 => json!({
            "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
            "message": "The level of configured provisioned throughput for the table was exceeded. Consider increasing \
                        your provisioning level with the UpdateTable API.",
            "ThrottlingReasons": reasons("ProvisionedThroughputExceeded"),
        }),
        // Of the three, only this one has its reasons under a lower-case name.
        1 => json!({
            "__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException",
            "message": "Throughput exceeds the current capacity of your table or index.",
            "throttlingReasons": reasons("KeyRangeThroughputExceeded"),
        }),
        _ => json!({
            "__type": "com.amazonaws.dynamodb.v20120810#RequestLimitExceeded",
            "message": "Throughput exceeds the current throughput limit for your account.",
            "ThrottlingReasons": reasons("AccountLimitExceeded"),
        }),
    };
    json_response(StatusCode::BAD_REQUEST, body.to_string().into(), rng)
}

pub(super) fn server_error(call: &mut Call) -> FullResponse {
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#InternalServerError",
        "message": "The request processing has failed because of an unknown error, exception or failure.",
    });
    json_response(StatusCode::INTERNAL_SERVER_ERROR, body.to_string().into(), &mut call.plan.rng)
}

/// One of the tables that a request names, for an error message.
fn table(request: &[u8]) -> String {
    let request: Value = serde_json::from_slice(request).unwrap_or_default();
    let table_name = |value: &Value| value["TableName"].as_str().map(str::to_owned);
    let first_key = |value: &Value| value.as_object().and_then(|tables| tables.keys().next().cloned());
    let in_transaction =
        |value: &Value| value[0].as_object().and_then(|action| action.values().next().and_then(table_name));
    table_name(&request)
        .or_else(|| first_key(&request["RequestItems"]))
        .or_else(|| in_transaction(&request["TransactItems"]))
        .unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_found_in_every_kind_of_request() {
        assert_eq!(table(br#"{"TableName":"a"}"#), "a");
        assert_eq!(table(br#"{"RequestItems":{"b":[]}}"#), "b");
        assert_eq!(table(br#"{"TransactItems":[{"Put":{"TableName":"c"}}]}"#), "c");
        assert_eq!(table(b"[]"), "unknown");
    }
}
