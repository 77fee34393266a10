//! Responses in Kinesis's format, and its errors.

use fastrand::Rng;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::super::body::FullResponse;
use super::super::call::Call;
use super::request::stream_name;

/// The code of a request or record that a shard has no capacity for.
pub(super) const THROUGHPUT_EXCEEDED: &str = "ProvisionedThroughputExceededException";

pub(in crate::proxy) fn throttled(call: &mut Call) -> FullResponse {
    let stream = stream_name(&call.body).unwrap_or_else(|| "unknown".to_owned());
    let (code, message) = match call.operation.as_str() {
        "PutRecord" | "PutRecords" | "GetRecords" | "GetShardIterator" => {
            (THROUGHPUT_EXCEEDED, rate_exceeded_message(&stream, "shardId-000000000000"))
        }
        operation => ("LimitExceededException", format!("Rate exceeded for {operation} of account 000000000000.")),
    };
    bad_request(call, code, &message)
}

pub(in crate::proxy) fn server_error(call: &mut Call) -> FullResponse {
    let rng = &mut call.plan.rng;
    if rng.bool() {
        let message = "The request processing has failed because of an unknown error, exception or failure.";
        error(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", message, rng)
    } else {
        let message = "The request has failed due to a temporary failure of the server.";
        error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message, rng)
    }
}

/// The error of a request that a shard has no capacity for.
pub(super) fn rate_exceeded(call: &mut Call, stream: &str, shard: &str) -> FullResponse {
    let message = rate_exceeded_message(stream, shard);
    bad_request(call, THROUGHPUT_EXCEEDED, &message)
}

pub(super) fn rate_exceeded_message(stream: &str, shard: &str) -> String {
    format!("Rate exceeded for shard {shard} in stream {stream} under account 000000000000.")
}

pub(super) fn expired_iterator(call: &mut Call) -> FullResponse {
    let message = "Iterator expired. The iterator is older than the tolerated delay of 300000 milliseconds.";
    bad_request(call, "ExpiredIteratorException", message)
}

pub(super) fn bad_request(call: &mut Call, code: &str, message: &str) -> FullResponse {
    error(StatusCode::BAD_REQUEST, code, message, &mut call.plan.rng)
}

fn error(status: StatusCode, code: &str, message: &str, rng: &mut Rng) -> FullResponse {
    json_response(status, &json!({ "__type": code, "message": message }), rng)
}

pub(super) fn json_response(status: StatusCode, body: &Value, rng: &mut Rng) -> FullResponse {
    let hex: String = std::iter::repeat_with(|| rng.digit(16)).take(32).collect();
    let id = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
    let mut response = Response::new(Full::new(body.to_string().into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
    headers.insert("x-amzn-requestid", HeaderValue::from_str(&id).expect("an id of digits and letters"));
    response
}
