//! What a request is for.

use hyper::header::HeaderMap;

/// The header that names the service and the operation: `DynamoDB_20120810.PutItem`.
pub(super) const TARGET: &str = "x-amz-target";

/// The service and the operation that a request is for: the two parts of `DynamoDB_20120810.PutItem`.
pub(super) fn target(headers: &HeaderMap) -> (&str, &str) {
    let target = headers.get(TARGET).and_then(|target| target.to_str().ok()).unwrap_or_default();
    target.rsplit_once('.').unwrap_or_default()
}
