//! moto's S3: its endpoint and its bucket.
//!
//! One server serves all tests at the same time: each has objects under a prefix of its own. Like S3, it rejects a request
//! whose signature was not made with [`environment::AWS_VARIABLES`](crate::environment::AWS_VARIABLES).

use crate::environment::S3_ENDPOINT;

/// The only bucket, in the region of [`environment::AWS_VARIABLES`](crate::environment::AWS_VARIABLES).
pub const BUCKET: &str = "paceline";

/// The endpoint of moto's S3 if it is running, otherwise one at which nobody answers.
pub fn endpoint_or_none() -> String {
    std::env::var(S3_ENDPOINT).unwrap_or_else(|_| "http://127.0.0.1:9".to_owned())
}

/// The endpoint of moto's S3: `http://127.0.0.1:PORT`.
///
/// # Panics
///
/// If it is not running. A test that begins with `require!(S3Local)` does not get here.
pub fn endpoint() -> String {
    std::env::var(S3_ENDPOINT).unwrap_or_else(|_| {
        panic!("moto's S3 is not running ({S3_ENDPOINT} is not set): `scripts/local-aws cargo test` runs it")
    })
}
