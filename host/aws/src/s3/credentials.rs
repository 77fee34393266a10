//! The SDK's credentials for `object_store`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::error::BucketRef;

/// The time within which credentials must be loaded; the SDK's own clients have the same.
const LOAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Credentials that expire within this time are not used, because a request may take that long.
const EXPIRY_MARGIN: Duration = Duration::from_secs(30);
/// The time for which credentials without an expiry are used, a profile's for instance; the SDK's own clients have the
/// same.
const RELOAD: Duration = Duration::from_secs(15 * 60);

/// The chain of credential sources that all other clients have. Their clients cache what it returns; so does this.
#[derive(Debug)]
pub(super) struct CachedCredentials {
    provider: SharedCredentialsProvider,
    bucket: BucketRef,
    cached: Mutex<Option<Cached>>,
}

#[derive(Debug)]
struct Cached {
    credential: Arc<AwsCredential>,
    until: SystemTime,
}

impl CachedCredentials {
    pub(super) fn new(provider: SharedCredentialsProvider, bucket: BucketRef) -> Self {
        Self { provider, bucket, cached: Mutex::default() }
    }
}

#[async_trait]
impl CredentialProvider for CachedCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        // Held while loading, so that concurrent requests load once.
        let mut cached = self.cached.lock().await;
        let now = SystemTime::now();
        if let Some(cached) = &*cached
            && now < cached.until
        {
            return Ok(cached.credential.clone());
        }
        let loaded = timeout(LOAD_TIMEOUT, self.provider.provide_credentials()).await;
        let failure = match loaded {
            Ok(Ok(loaded)) => {
                let credential = Arc::new(AwsCredential {
                    key_id: loaded.access_key_id().to_owned(),
                    secret_key: loaded.secret_access_key().to_owned(),
                    token: loaded.session_token().map(str::to_owned),
                });
                let until = loaded.expiry().map_or(now + RELOAD, |expiry| expiry - EXPIRY_MARGIN);
                *cached = Some(Cached { credential: credential.clone(), until });
                return Ok(credential);
            }
            Ok(Err(error)) => self.bucket.no_credentials(error),
            Err(elapsed) => self.bucket.no_credentials(elapsed),
        };
        Err(object_store::Error::Generic { store: "S3", source: Box::new(failure) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use aws_credential_types::Credentials;
    use aws_credential_types::provider::error::CredentialsError;
    use aws_credential_types::provider::future;
    use paceline_pipeline::ErrorChain;

    use super::*;

    /// Credentials whose key counts how often they were loaded.
    #[derive(Debug, Default)]
    struct Counting {
        count: Arc<AtomicU64>,
        /// The time after which they expire, if they do.
        valid: Option<Duration>,
        missing: bool,
    }

    impl ProvideCredentials for Counting {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
            let expiry = self.valid.map(|valid| SystemTime::now() + valid);
            future::ProvideCredentials::ready(if self.missing {
                Err(CredentialsError::not_loaded("no profile"))
            } else {
                Ok(Credentials::new(format!("key-{count}"), "secret", Some("token".into()), expiry, "test"))
            })
        }
    }

    fn cached(provider: Counting) -> CachedCredentials {
        let provider = SharedCredentialsProvider::new(provider);
        CachedCredentials::new(provider, BucketRef::new("rules", "eu-west-1", None))
    }

    #[tokio::test]
    async fn credentials_are_loaded_again_only_when_they_are_about_to_expire() {
        for (valid, second) in
            [(None, "key-1"), (Some(EXPIRY_MARGIN * 10), "key-1"), (Some(EXPIRY_MARGIN / 2), "key-2")]
        {
            let credentials = cached(Counting { valid, ..Counting::default() });
            let first = credentials.get_credential().await.unwrap();
            assert_eq!((first.key_id.as_str(), first.token.as_deref()), ("key-1", Some("token")));
            assert_eq!(credentials.get_credential().await.unwrap().key_id, second, "{valid:?}");
        }
    }

    #[tokio::test]
    async fn missing_credentials_are_named_with_their_cause_and_looked_for_again() {
        let count = Arc::new(AtomicU64::new(0));
        let credentials = cached(Counting { missing: true, count: count.clone(), ..Counting::default() });
        for _ in 0..2 {
            let error = credentials.get_credential().await.unwrap_err();
            let message = ErrorChain(&error).to_string();
            for part in ["the bucket `rules` in eu-west-1", "AWS_ACCESS_KEY_ID", "no profile"] {
                assert!(message.contains(part), "{message}");
            }
        }
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }
}
