//! moto's SQS: queues for one test each.

use serde_json::{Value, json};

use crate::environment::MOTO_ENDPOINT;
use crate::http::post;
use crate::unique::unique;

/// The endpoint of moto: `http://127.0.0.1:PORT`.
///
/// # Panics
///
/// If it is not running. A test that begins with `require!(Moto)` does not get here.
pub fn endpoint() -> String {
    std::env::var(MOTO_ENDPOINT).unwrap_or_else(|_| {
        panic!("moto is not running ({MOTO_ENDPOINT} is not set): `scripts/local-aws cargo test` runs it")
    })
}

/// A queue that no other test uses. It is not deleted: the server ends with the tests.
#[derive(Clone, Debug)]
pub struct TestQueue {
    /// Its path in its URL.
    path: String,
}

impl TestQueue {
    /// Creates a queue whose name begins with `name`.
    ///
    /// # Panics
    ///
    /// If the server rejects a request, as every method does.
    pub fn new(name: &str) -> Self {
        let created = request("CreateQueue", &json!({ "QueueName": unique(name) }));
        let url = created["QueueUrl"].as_str().expect("the URL of the queue");
        let path = url.splitn(4, '/').nth(3).expect("a path in the URL").to_owned();
        Self { path }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        self.url_at(&endpoint())
    }

    /// Its URL at a server in front of moto.
    pub fn url_at(&self, endpoint: &str) -> String {
        format!("{}/{}", endpoint.trim_end_matches('/'), self.path)
    }

    /// Sends a message.
    pub fn send(&self, body: &str) {
        request("SendMessage", &json!({ "QueueUrl": self.url(), "MessageBody": body }));
    }

    /// The messages that a receiver would get, and those that are hidden from it.
    pub fn messages(&self) -> (usize, usize) {
        let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let found = request("GetQueueAttributes", &json!({ "QueueUrl": self.url(), "AttributeNames": names }));
        let [visible, hidden] = names.map(|name| {
            let count = found["Attributes"][name].as_str().expect("a count of messages");
            count.parse().expect("a number")
        });
        (visible, hidden)
    }
}

fn request(action: &str, body: &Value) -> Value {
    let (endpoint, target) = (endpoint(), format!("AmazonSQS.{action}"));
    let address = endpoint.strip_prefix("http://").expect("an address of HTTP").trim_end_matches('/');
    let headers = [
        ("X-Amz-Target", target.as_str()),
        ("Content-Type", "application/x-amz-json-1.0"),
        ("X-Amz-Date", "20260101T000000Z"),
        (
            "Authorization",
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0",
        ),
    ];
    let (status, answer) = post(address, "/", &headers, body.to_string().as_bytes()).expect("a response of moto");
    assert_eq!(status, 200, "{action} {body}: {}", String::from_utf8_lossy(&answer));
    if answer.is_empty() { Value::Null } else { serde_json::from_slice(&answer).expect("JSON") }
}
