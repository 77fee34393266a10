//! Responses in DynamoDB's format.

use bytes::Bytes;
use fastrand::Rng;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};

use super::super::body::FullResponse;

/// A response in DynamoDB's format, without `x-amz-crc32`, which clients check only if it is present.
pub(super) fn json_response(status: StatusCode, body: Bytes, rng: &mut Rng) -> FullResponse {
    let id: String = std::iter::repeat_with(|| rng.digit(36).to_ascii_uppercase()).take(52).collect();
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
    headers.insert("x-amzn-requestid", HeaderValue::from_str(&id).expect("an id of digits and letters"));
    response
}
