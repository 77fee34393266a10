//! What the proxy does in front of DynamoDB, and DynamoDB's errors in its own words.

use bytes::Bytes;
use fastrand::Rng;
use http_body_util::{BodyExt, Full};
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::call::Call;
use super::counts::writes;
use super::partial::Part;

type Whole = Response<Full<Bytes>>;

/// Answers a request, in part where that was drawn.
pub(super) async fn answer(call: &mut Call) -> Whole {
    let part = if call.plan.partial { Part::take(&call.operation, &call.body, &mut call.plan.rng) } else { None };
    let Some(part) = part else { return forward(call, call.body.clone()).await };
    call.shared.state().counts.held_back(part.held());
    match part.rest() {
        None => json_answer(StatusCode::OK, part.complete(None), &mut call.plan.rng),
        Some(rest) => {
            let answer = forward(call, rest).await;
            // An error is an error of the whole request.
            if answer.status() == StatusCode::OK { completed(&part, answer).await } else { answer }
        }
    }
}

async fn forward(call: &Call, body: Bytes) -> Whole {
    let answer = call.forward(body.clone()).await;
    let (parts, said) = answer.into_parts();
    let Ok(said) = said.collect().await;
    let said = said.to_bytes();
    call.shared.state().counts.capacity(&call.operation, &body, &said);
    Response::from_parts(parts, Full::new(said))
}

/// The answer to a part of the request, with what was held back in it.
async fn completed(part: &Part, answer: Whole) -> Whole {
    let (mut parts, body) = answer.into_parts();
    let Ok(body) = body.collect().await;
    // It was right for another body.
    parts.headers.remove("x-amz-crc32");
    Response::from_parts(parts, Full::new(part.complete(Some(&body.to_bytes()))))
}

/// A refusal as one of too many requests.
pub(super) fn throttled(operation: &str, request: &[u8], rng: &mut Rng) -> Response<Full<Bytes>> {
    let way = if writes(operation, request) { "Write" } else { "Read" };
    let resource = format!("arn:aws:dynamodb:us-east-1:000000000000:table/{}", table(request));
    let reasons = |limit| json!([{ "reason": format!("Table{way}{limit}"), "resource": resource }]);
    let body = match rng.u8(..3) {
        0 => json!({
            "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
            "message": "The level of configured provisioned throughput for the table was exceeded. Consider increasing \
                        your provisioning level with the UpdateTable API.",
            "ThrottlingReasons": reasons("ProvisionedThroughputExceeded"),
        }),
        // The only one of the three whose reasons begin with a small letter.
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
    json_answer(StatusCode::BAD_REQUEST, body.to_string().into(), rng)
}

/// A failure of the server.
pub(super) fn server_error(rng: &mut Rng) -> Response<Full<Bytes>> {
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#InternalServerError",
        "message": "The request processing has failed because of an unknown error, exception or failure.",
    });
    json_answer(StatusCode::INTERNAL_SERVER_ERROR, body.to_string().into(), rng)
}

/// An answer as DynamoDB would send it. It has no `x-amz-crc32`, which clients check where it is there.
fn json_answer(status: StatusCode, body: Bytes, rng: &mut Rng) -> Response<Full<Bytes>> {
    let id: String = std::iter::repeat_with(|| rng.digit(36).to_ascii_uppercase()).take(52).collect();
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
    headers.insert("x-amzn-requestid", HeaderValue::from_str(&id).expect("digits and letters"));
    answer
}

/// A table that the request is about, for the words of an error.
fn table(request: &[u8]) -> String {
    let request: Value = serde_json::from_slice(request).unwrap_or_default();
    let named = |value: &Value| value["TableName"].as_str().map(str::to_owned);
    let first_key = |value: &Value| value.as_object().and_then(|tables| tables.keys().next().cloned());
    let in_transaction = |value: &Value| value[0].as_object().and_then(|action| action.values().next().and_then(named));
    named(&request)
        .or_else(|| first_key(&request["RequestItems"]))
        .or_else(|| in_transaction(&request["TransactItems"]))
        .unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_found_in_every_shape() {
        assert_eq!(table(br#"{"TableName":"a"}"#), "a");
        assert_eq!(table(br#"{"RequestItems":{"b":[]}}"#), "b");
        assert_eq!(table(br#"{"TransactItems":[{"Put":{"TableName":"c"}}]}"#), "c");
        assert_eq!(table(b"[]"), "unknown");
    }
}
