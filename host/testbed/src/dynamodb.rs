//! Amazon's DynamoDB Local: where it listens, a client for it, names for tables.
//!
//! One server serves all tests, side by side: each takes tables with [`unique`] names.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Builder, Credentials, Region};

/// The variable by which `scripts/local-aws` says where DynamoDB Local listens.
const ENDPOINT: &str = "PACELINE_TEST_DYNAMODB";

/// Where DynamoDB Local listens: `http://127.0.0.1:PORT`.
///
/// # Panics
///
/// If nobody has started it, with advice.
pub fn endpoint() -> String {
    std::env::var(ENDPOINT).unwrap_or_else(|_| {
        panic!(
            "this test needs DynamoDB Local, and {ENDPOINT} does not say where it listens: run `make test`, or \
             `scripts/local-aws cargo nextest run`, which start it"
        )
    })
}

/// A client that tries each request once, so that a test sees every failure itself.
pub fn client(endpoint: &str) -> Client {
    let config = Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .endpoint_url(endpoint)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "paceline-testbed"))
        .retry_config(RetryConfig::disabled())
        // Plain HTTP. The usual client would read the machine's certificates first.
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Client::from_conf(config)
}

/// A name for a table that no other test has, in this process or another.
pub fn unique(name: &str) -> String {
    static TAKEN: AtomicU64 = AtomicU64::new(0);
    let taken = TAKEN.fetch_add(1, Ordering::Relaxed);
    format!("{name}-{}-{taken}-{:08x}", std::process::id(), fastrand::u32(..))
}
