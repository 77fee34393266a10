//! S3 as the place of a rules registry: a bucket, or a folder in it, as an [`ObjectStore`].
//!
//! Region, endpoint and credentials come from where all other clients take them, and requests go through the same HTTP
//! and TLS. Only the requests themselves are `object_store`'s.
//!
//! A registry appends by [`PutMode::Create`](object_store::PutMode::Create), which S3 supports: the second writer gets
//! [`AlreadyExists`](object_store::Error::AlreadyExists). A writer may meet its own object: a response was lost, or S3
//! failed after it had stored the object and `object_store` tried again. So a writer compares before it gives up.
//!
//! [`NotFound`](object_store::Error::NotFound) means that the object does not exist. That the bucket does not exist, or
//! that S3 does not say (which it does not without `s3:ListBucket`), is another error, so that a host does not take a
//! registry out of reach for one without news. Only [`head`](object_store::ObjectStoreExt::head) can't tell, because
//! its responses have no body.
//!
//! # Layout
//!
//! - `location`: `s3://bucket/folder`.
//! - `credentials`: the SDK's credentials, kept while they are valid.
//! - `transport`: sends requests, each within a time limit.
//! - `error`: what failed requests mean.

mod credentials;
mod error;
mod location;
mod transport;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use object_store::aws::{AmazonS3Builder, Checksum};
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};

pub use location::{S3Location, S3LocationError};

use crate::sdk;

use credentials::CachedCredentials;
use error::BucketRef;
use transport::Connector;

/// The maximum number of retries of a request. A host polls again anyway, so retries are for a single lost connection or
/// a single "slow down".
const RETRIES: usize = 2;
/// The time after which a request is not retried. With [`transport::REQUEST_TIMEOUT`] a poll of a bucket that does not
/// respond ends after two attempts.
const RETRY_TIMEOUT: Duration = Duration::from_secs(5);
/// The delay before the first retry. Later ones are up to twice as long as the one before.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// The maximum delay before a retry.
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// A location in S3 can't be opened: what is missing or wrong, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct S3OpenError {
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl S3OpenError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), source: None }
    }
}

/// The objects of a location in S3. Paths are relative to the location.
///
/// Region and endpoint are looked for where the AWS tools look for them if they are not given: the environment
/// (`AWS_REGION`, `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`), then the profile. No request is sent, so whether the bucket
/// exists shows at the first one.
///
/// # Errors
///
/// If there is no region, or the endpoint is no URL.
pub async fn open(
    location: &S3Location,
    region: Option<&str>,
    endpoint: Option<&str>,
) -> Result<Arc<dyn ObjectStore>, S3OpenError> {
    let sdk = sdk::load(region, endpoint, "`region` beside `registry`")
        .await
        .map_err(|error| S3OpenError::new(error.to_string()))?;
    let region = sdk.region().map(ToString::to_string).unwrap_or_default();
    let endpoint = sdk::endpoint(&sdk, "S3");
    let bucket = BucketRef::new(location.bucket(), &region, endpoint.as_deref());
    let address = match endpoint {
        Some(endpoint) => Address::custom(endpoint)?,
        None => Address::of_region(location.bucket(), &region, &sdk),
    };
    let provider = sdk.credentials_provider().ok_or_else(|| {
        S3OpenError::new(format!("{bucket} needs credentials, and the SDK's configuration has no source of them"))
    })?;
    let built = AmazonS3Builder::new()
        .with_bucket_name(location.bucket())
        .with_region(region)
        .with_endpoint(address.endpoint)
        .with_virtual_hosted_style_request(address.contains_bucket)
        .with_credentials(Arc::new(CachedCredentials::new(provider, bucket.clone())))
        .with_http_connector(Connector::new(bucket.clone()))
        // A bucket that keeps its objects by Object Lock takes none without a checksum.
        .with_checksum_algorithm(Checksum::SHA256)
        .with_retry(RetryConfig {
            backoff: BackoffConfig { init_backoff: FIRST_BACKOFF, max_backoff: MAX_BACKOFF, base: 2.0 },
            max_retries: RETRIES,
            retry_timeout: RETRY_TIMEOUT,
        })
        .build();
    let store = built.map_err(|error| S3OpenError {
        message: format!("{bucket} can't be opened. Check its name, the region and the endpoint"),
        source: Some(Box::new(error)),
    })?;
    Ok(if location.folder().is_root() {
        Arc::new(store)
    } else {
        Arc::new(PrefixStore::new(store, location.folder().clone()))
    })
}

/// Where a bucket is.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    endpoint: String,
    /// Whether the host's name begins with the bucket's. Otherwise paths begin with it.
    contains_bucket: bool,
}

impl Address {
    /// An emulator or a private endpoint, whose host has no name for each bucket.
    fn custom(endpoint: String) -> Result<Self, S3OpenError> {
        let host = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
        if host.is_none_or(|host| host.is_empty() || host.starts_with('/') || host.contains(['?', '#', '@'])) {
            return Err(S3OpenError::new(format!(
                "the endpoint of S3 `{endpoint}` is no URL of a host: set `endpoint` beside `registry`, or \
                 AWS_ENDPOINT_URL_S3, to `https://HOST` or `http://HOST:PORT`"
            )));
        }
        Ok(Self { endpoint, contains_bucket: false })
    }

    fn of_region(bucket: &str, region: &str, sdk: &SdkConfig) -> Self {
        let fips = if sdk.use_fips() == Some(true) { "-fips" } else { "" };
        let dual_stack = if sdk.use_dual_stack() == Some(true) { ".dualstack" } else { "" };
        let domain = match region.split('-').next() {
            Some("cn") => "amazonaws.com.cn",
            Some("eusc") => "amazonaws.eu",
            _ => "amazonaws.com",
        };
        let host = format!("s3{fips}{dual_stack}.{region}.{domain}");
        // S3's certificates are for names with one label before `s3`.
        if bucket.contains('.') {
            return Self { endpoint: format!("https://{host}"), contains_bucket: false };
        }
        Self { endpoint: format!("https://{bucket}.{host}"), contains_bucket: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_a_host_of_its_own_unless_its_name_has_dots() {
        let plain = SdkConfig::builder().build();
        for (bucket, region, endpoint, contains_bucket) in [
            ("rules", "eu-west-1", "https://rules.s3.eu-west-1.amazonaws.com", true),
            ("my.rules", "eu-west-1", "https://s3.eu-west-1.amazonaws.com", false),
            ("rules", "cn-north-1", "https://rules.s3.cn-north-1.amazonaws.com.cn", true),
            ("rules", "eusc-de-east-1", "https://rules.s3.eusc-de-east-1.amazonaws.eu", true),
        ] {
            let expected = Address { endpoint: endpoint.to_owned(), contains_bucket };
            assert_eq!(Address::of_region(bucket, region, &plain), expected);
        }
        let both = SdkConfig::builder().use_fips(true).use_dual_stack(true).build();
        let address = Address::of_region("rules", "us-west-2", &both);
        assert_eq!(address.endpoint, "https://rules.s3-fips.dualstack.us-west-2.amazonaws.com");
    }

    #[test]
    fn an_endpoint_is_a_url_of_a_host() {
        for endpoint in ["http://127.0.0.1:9000", "https://bucket.vpce-1.s3.eu-west-1.vpce.amazonaws.com/"] {
            assert!(Address::custom(endpoint.to_owned()).is_ok_and(|address| !address.contains_bucket), "{endpoint}");
        }
        for endpoint in
            ["", "localhost:9000", "ftp://host", "https://", "http:///path", "http://host?a=b", "http://a@b"]
        {
            let message = Address::custom(endpoint.to_owned()).unwrap_err().to_string();
            assert!(message.contains(&format!("`{endpoint}`")) && message.contains("AWS_ENDPOINT_URL_S3"), "{message}");
        }
    }

    #[tokio::test]
    async fn a_bad_endpoint_is_noticed_before_any_request() {
        let location = "s3://rules".parse().unwrap();
        let error = open(&location, Some("eu-west-1"), Some("localhost:9000")).await.unwrap_err();
        assert!(error.to_string().contains("`localhost:9000`"), "{error}");
    }
}
