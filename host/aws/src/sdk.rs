//! What the services share: how they are reached, and what goes wrong on the way to them.

use std::error::Error;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

/// Characters of a service's message that are passed on. They are shorter; this is against surprises.
const MESSAGE_CHARS: usize = 400;

/// Region, endpoint and credentials, from the configuration or, failing that, from where the AWS tools take them. No
/// request is sent but for credentials.
///
/// `beside` names the setting that `region` stands beside in the configuration.
pub(crate) async fn load(region: Option<&str>, endpoint: Option<&str>, beside: &str) -> Result<SdkConfig, String> {
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http);
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    if let Some(endpoint) = endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    let shared = loader.load().await;
    if shared.region().is_none() {
        return Err(format!(
            "no AWS region is set: give `region` beside `{beside}`, or set AWS_REGION, or name one in the profile"
        ));
    }
    Ok(shared)
}

/// What is to be done about a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryClass {
    /// Try again: it was throttled or refused for a moment. Nothing was done.
    Throttled,
    /// Try again: it may have been done or not.
    Ambiguous,
    /// Don't try again: somebody has to do something first.
    Fatal,
}

/// A failed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// The service says why. What its code means is the service's own, or [`common`].
    ServiceError(ServiceError),
    /// It did not come to an answer, and this is why.
    Sorted(RetryClass, String),
}

/// What a service says about a request that it did not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceError {
    /// The error's code as it came.
    pub(crate) code: String,
    /// What it says to a person.
    pub(crate) message: String,
    /// The status of the answer.
    pub(crate) status: u16,
}

impl ServiceError {
    pub(crate) fn new(code: &str, message: Option<&str>, status: u16) -> Self {
        let message = message.unwrap_or("no message").chars().take(MESSAGE_CHARS).collect();
        Self { code: code.to_owned(), message, status }
    }

    /// The code without its name space, and without `Exception`, which some services leave out at times.
    pub(crate) fn short(&self) -> &str {
        let short = self.code.rsplit(['#', '.']).next().unwrap_or(&self.code);
        short.strip_suffix("Exception").unwrap_or(short)
    }
}

/// Sorts what the SDK says. `doing` is what was to be done; `patience` the setting that bounds how long it may take.
pub(crate) fn sort<E>(doing: &str, patience: &str, error: &SdkError<E, HttpResponse>) -> Failed
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let unreadable = |status: u16| {
        Failed::Sorted(RetryClass::Ambiguous, format!("{doing} got an answer that can't be read (HTTP {status})"))
    };
    match error {
        SdkError::ServiceError(service) => match service.err().code() {
            Some(code) => {
                Failed::ServiceError(ServiceError::new(code, service.err().message(), service.raw().status().as_u16()))
            }
            None => unreadable(service.raw().status().as_u16()),
        },
        SdkError::ResponseError(response) => unreadable(response.raw().status().as_u16()),
        SdkError::TimeoutError(_) => {
            Failed::Sorted(RetryClass::Ambiguous, format!("{doing} got no answer in time (`{patience}`)"))
        }
        SdkError::DispatchFailure(failure) => {
            let why = failure.as_connector_error().map_or_else(String::new, |error| chain(error));
            if why.contains("redential") || why.contains("auth scheme") || why.contains("dentity") {
                return no_credentials(doing, &why);
            }
            Failed::Sorted(RetryClass::Ambiguous, format!("{doing} did not get through: {why}"))
        }
        other => {
            let why = other.source().map_or_else(String::new, chain);
            if why.contains("redential") {
                return no_credentials(doing, &why);
            }
            Failed::Sorted(RetryClass::Fatal, format!("{doing} can't be sent: {why}. Are region and endpoint right?"))
        }
    }
}

/// What codes mean that are the same in every service.
pub(crate) fn common(doing: &str, told: &ServiceError) -> (RetryClass, String) {
    let ServiceError { code, message, status } = told;
    match told.short() {
        "ProvisionedThroughputExceeded" | "Throttling" | "ThrottlingError" | "RequestLimitExceeded" => {
            (RetryClass::Throttled, format!("{doing} is throttled ({code}): {message}"))
        }
        "LimitExceeded" => (RetryClass::Throttled, format!("{doing} was refused for now ({code}): {message}")),
        "UnrecognizedClient"
        | "ExpiredToken"
        | "InvalidSignature"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "NotAuthorized"
        | "OptInRequired" => (
            RetryClass::Fatal,
            format!(
                "the credentials are not accepted ({code}): {message}. Renew them or give others (AWS_ACCESS_KEY_ID \
                 and so on, a profile, or a role), and look at the machine's clock"
            ),
        ),
        "InternalServerError" | "InternalFailure" | "InternalServer" | "ServiceUnavailable" | "RequestTimeout" => {
            (RetryClass::Ambiguous, format!("{doing} failed at the other end ({code}): {message}"))
        }
        _ if *status >= 500 || *status == 429 || *status == 200 => {
            (RetryClass::Ambiguous, format!("{doing} failed at the other end ({code}): {message}"))
        }
        _ => (RetryClass::Fatal, format!("{doing} failed ({code}): {message}")),
    }
}

/// Credentials that can't be had for the moment, or at all.
fn no_credentials(doing: &str, why: &str) -> Failed {
    let for_now = why.contains("timed out") || why.contains("error occurred while loading");
    let class = if for_now { RetryClass::Throttled } else { RetryClass::Fatal };
    let text = format!(
        "{doing} needs credentials, and there are none: {why}. Give them as the AWS tools take them: AWS_ACCESS_KEY_ID \
         and AWS_SECRET_ACCESS_KEY, a profile, or a role of the machine; for a service on this machine any will do"
    );
    Failed::Sorted(class, text)
}

/// ` in eu-west-1`, ` at http://localhost:8000`, or both: where something is, for messages.
pub(crate) fn place(region: Option<&str>, endpoint: Option<&str>) -> String {
    let mut place = region.map(|region| format!(" in {region}")).unwrap_or_default();
    if let Some(endpoint) = endpoint {
        place.push_str(&format!(" at {endpoint}"));
    }
    place
}

/// An error and what caused it, each said once.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
