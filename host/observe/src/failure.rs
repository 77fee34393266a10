//! Why something could not be read.

use std::error::Error;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use paceline_aws::sdk::{RequestFailure, describe_failure};
use paceline_doctor::history::Unavailable;

/// A source that could not be read.
pub(crate) struct Failure {
    /// What was done, such as `listing the shards`.
    doing: &'static str,
    /// The action that it needs, such as `kinesis:ListShards`.
    action: &'static str,
    failure: RequestFailure,
}

impl Failure {
    /// Classifies an error of the SDK.
    pub(crate) fn new<E>(doing: &'static str, action: &'static str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        Self { doing, action, failure: describe_failure(doing, error) }
    }

    /// Whether the service answered that there is no such thing.
    pub(crate) fn is_missing(&self) -> bool {
        self.failure.code.as_deref().is_some_and(|code| code.contains("NotFound") || code.contains("NonExistentQueue"))
    }

    /// What the history notes of it.
    pub(crate) fn note(&self, what: impl Into<String>) -> Unavailable {
        let denied = self.failure.code.as_deref().is_some_and(|code| {
            code.contains("AccessDenied") || code.contains("NotAuthorized") || code.contains("UnauthorizedOperation")
        });
        let reason = match self.is_missing() {
            true => format!("{}: there is none of this name in the region", self.doing),
            false => self.failure.message.clone(),
        };
        Unavailable { what: what.into(), permission: denied.then(|| self.action.to_owned()), reason, by_limit: false }
    }
}
