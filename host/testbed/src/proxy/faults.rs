//! What is drawn for a request, and the errors in DynamoDB's own words.

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::counts::writes;

/// What goes wrong, and how often. By default nothing does.
///
/// A request meets at most one of `throttle`, `server_error`, `reset_before` and `reset_after`: their sum is at most 1.
/// `delay` and `partial` are drawn by themselves, and come on top.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// Probability of a throttling error, drawn evenly from `ProvisionedThroughputExceededException`,
    /// `ThrottlingException` and `RequestLimitExceeded`, each with its reasons. The request is not forwarded.
    pub throttle: f64,
    /// Probability of an `InternalServerError` (500): half before, half after the request took effect.
    pub server_error: f64,
    /// Probability that the connection is reset and the request not forwarded.
    pub reset_before: f64,
    /// Probability that the request takes effect and the connection is reset without an answer.
    pub reset_after: f64,
    /// Probability of a wait before anything else happens to the request.
    pub delay: f64,
    /// How long that wait is: from the first to the second, both possible.
    pub delay_ms: (u64, u64),
    /// Probability that a batch is done in part. `BatchGetItem` and `BatchWriteItem` of two or more give some back as
    /// `UnprocessedKeys` or `UnprocessedItems`. `BatchExecuteStatement` answers some statements, or all, by an error;
    /// one that is told to have met an `InternalServerError` may have taken effect all the same.
    pub partial: f64,
    /// The operations that meet faults; without a list, all do.
    pub only: Option<Vec<String>>,
}

/// What shall happen to a request, but for `delay` and `partial`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Forward,
    Throttle,
    ErrorBefore,
    ErrorAfter,
    ResetBefore,
    ResetAfter,
}

/// What was drawn for a request.
pub(super) struct Plan {
    pub(super) delay: Option<Duration>,
    pub(super) fate: Fate,
    pub(super) partial: bool,
    /// For what is drawn about this request later.
    pub(super) rng: Rng,
}

impl Faults {
    /// # Panics
    ///
    /// If these are no probabilities.
    pub(super) fn check(&self) {
        let exclusive = [self.throttle, self.server_error, self.reset_before, self.reset_after];
        let all = [&exclusive[..], &[self.delay, self.partial]].concat();
        assert!(all.iter().all(|p| (0.0..=1.0).contains(p)), "a fault's probability is from 0 to 1: {self:?}");
        // Ten times 0.1 is a little more than 1.
        assert!(exclusive.iter().sum::<f64>() < 1.0 + 1e-9, "faults that exclude each other exceed 1: {self:?}");
        assert!(self.delay_ms.0 <= self.delay_ms.1, "the shortest delay exceeds the longest: {self:?}");
    }

    pub(super) fn draw(&self, operation: &str, mut rng: Rng) -> Plan {
        if self.only.as_ref().is_some_and(|only| only.iter().all(|other| other != operation)) {
            return Plan { delay: None, fate: Fate::Forward, partial: false, rng };
        }
        let delay = (rng.f64() < self.delay).then(|| Duration::from_millis(rng.u64(self.delay_ms.0..=self.delay_ms.1)));
        let partial = rng.f64() < self.partial;
        let mut left = rng.f64();
        let fate = [
            (self.throttle, Fate::Throttle),
            (self.server_error / 2.0, Fate::ErrorBefore),
            (self.server_error / 2.0, Fate::ErrorAfter),
            (self.reset_before, Fate::ResetBefore),
            (self.reset_after, Fate::ResetAfter),
        ]
        .into_iter()
        .find_map(|(probability, fate)| {
            left -= probability;
            (left < 0.0).then_some(fate)
        });
        Plan { delay, fate: fate.unwrap_or(Fate::Forward), partial, rng }
    }
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
    answer(StatusCode::BAD_REQUEST, body.to_string().into(), rng)
}

/// A failure of the server.
pub(super) fn server_error(rng: &mut Rng) -> Response<Full<Bytes>> {
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#InternalServerError",
        "message": "The request processing has failed because of an unknown error, exception or failure.",
    });
    answer(StatusCode::INTERNAL_SERVER_ERROR, body.to_string().into(), rng)
}

/// An answer as DynamoDB would send it. It has no `x-amz-crc32`, which clients check where it is there.
pub(super) fn answer(status: StatusCode, body: Bytes, rng: &mut Rng) -> Response<Full<Bytes>> {
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

    fn drawn(faults: &Faults, operation: &str) -> Vec<Fate> {
        let mut rng = Rng::with_seed(7);
        (0..10_000).map(|_| faults.draw(operation, Rng::with_seed(rng.u64(..))).fate).collect()
    }

    #[test]
    fn each_fault_comes_as_often_as_asked() {
        let faults =
            Faults { throttle: 0.1, server_error: 0.2, reset_before: 0.3, reset_after: 0.05, ..Faults::default() };
        let drawn = drawn(&faults, "PutItem");
        let share = |fate| drawn.iter().filter(|other| **other == fate).count();
        assert!((900..1_100).contains(&share(Fate::Throttle)));
        assert!((900..1_100).contains(&share(Fate::ErrorBefore)));
        assert!((900..1_100).contains(&share(Fate::ErrorAfter)));
        assert!((2_800..3_200).contains(&share(Fate::ResetBefore)));
        assert!((400..600).contains(&share(Fate::ResetAfter)));
    }

    #[test]
    fn a_certain_fault_always_comes_and_an_impossible_one_never() {
        let faults = Faults { reset_after: 1.0, ..Faults::default() };
        assert!(drawn(&faults, "PutItem").iter().all(|fate| *fate == Fate::ResetAfter));
        assert!(drawn(&Faults::default(), "PutItem").iter().all(|fate| *fate == Fate::Forward));
    }

    #[test]
    fn other_operations_than_the_listed_ones_are_spared() {
        let faults = Faults { throttle: 1.0, only: Some(vec!["GetItem".into()]), ..Faults::default() };
        assert!(drawn(&faults, "PutItem").iter().all(|fate| *fate == Fate::Forward));
        assert!(drawn(&faults, "GetItem").iter().all(|fate| *fate == Fate::Throttle));
    }

    #[test]
    #[should_panic(expected = "exceed 1")]
    fn faults_that_exclude_each_other_are_refused_when_they_sum_up_to_more_than_one() {
        Faults { throttle: 0.6, reset_before: 0.6, ..Faults::default() }.check();
    }

    #[test]
    fn the_table_is_found_in_every_shape() {
        assert_eq!(table(br#"{"TableName":"a"}"#), "a");
        assert_eq!(table(br#"{"RequestItems":{"b":[]}}"#), "b");
        assert_eq!(table(br#"{"TransactItems":[{"Put":{"TableName":"c"}}]}"#), "c");
        assert_eq!(table(b"[]"), "unknown");
    }
}
