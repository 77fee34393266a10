//! Amazon's DynamoDB Local: its endpoint, a client, names for tables.
//!
//! One server serves all tests at the same time: each creates tables with [`unique`] names.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Builder, Credentials, Region};

use crate::environment::DYNAMODB_ENDPOINT;
pub use crate::unique::unique;

/// The endpoint of DynamoDB Local: `http://127.0.0.1:PORT`.
///
/// # Panics
///
/// If it is not running. A test that begins with `require!(DynamoDbLocal)` does not get here.
pub fn endpoint() -> String {
    std::env::var(DYNAMODB_ENDPOINT).unwrap_or_else(|_| {
        panic!("DynamoDB Local is not running ({DYNAMODB_ENDPOINT} is not set): `scripts/local-aws cargo test` runs it")
    })
}

/// A client that tries each request once, so that a test sees every failure.
pub fn client(endpoint: &str) -> Client {
    let config = Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .endpoint_url(endpoint)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "paceline-testbed"))
        .retry_config(RetryConfig::disabled())
        // Plain HTTP. The default client would load the machine's certificates first.
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Client::from_conf(config)
}
