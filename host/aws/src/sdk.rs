//! What the clients of all services share: how they are configured, and what a failed request means.
//!
//! A request is awaited as `Box::pin(request.send())`. Its future has 5 KB or more, a future that awaits it has room for it, and
//! futures are copied on their way to where they are polled.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpClient, SharedHttpConnector};
use aws_types::service_config::ServiceConfigKey;
use paceline_pipeline::ErrorChain;

use crate::renewed::{Renewed, RenewedClient, RenewedConnector};

/// The TLS of all clients.
const TLS: Provider = Provider::Rustls(CryptoMode::Ring);

/// Characters of a service's message that are passed on. A guard: the messages are shorter.
const MESSAGE_CHARS: usize = 400;

/// The cause of a failed request. Shared, because the error of a producer that ended is returned by every later call.
pub(crate) type Source = Arc<dyn Error + Send + Sync>;

/// No region is configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no AWS region is set: set {setting}, or AWS_REGION, or a region in the profile")]
pub struct NoRegion {
    /// The setting, with its name in backticks.
    setting: &'static str,
}

/// Region, endpoint and credentials: from the configuration, else from where the AWS tools take them. Sends no request,
/// except for credentials.
///
/// `setting` names the setting of the region in words.
///
/// # Errors
///
/// No region is set anywhere.
pub async fn load(region: Option<&str>, endpoint: Option<&str>, setting: &'static str) -> Result<SdkConfig, NoRegion> {
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(client());
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    if let Some(endpoint) = endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    let config = Box::pin(loader.load()).await;
    if config.region().is_none() {
        return Err(NoRegion { setting });
    }
    Ok(config)
}

/// The endpoint of a service that has no client of the SDK here, if one is configured: the one that such a client would
/// choose. `service` is the service's name in configuration files and, in capitals, in `AWS_ENDPOINT_URL_…`.
pub(crate) fn endpoint(config: &SdkConfig, service: &str) -> Option<String> {
    let shared = config.endpoint_url().map(str::to_owned);
    if config.get_origin("endpoint_url").is_client_config() {
        return shared;
    }
    let key = ServiceConfigKey::builder().service_id(service).env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let own = key.ok().and_then(|key| config.service_config()?.load_config(key));
    own.or(shared)
}

/// What sends the requests to a service that has no client of the SDK here: the same HTTP and TLS as such a client has,
/// with connections of its own.
#[must_use]
pub fn connector(connect_timeout: Duration) -> SharedHttpConnector {
    // The HTTP client in `SdkConfig` has connectors for clients of the SDK only.
    let settings = HttpConnectorSettings::builder().connect_timeout(connect_timeout).build();
    let make = move || {
        let connector = Connector::builder().tls_provider(TLS).connector_settings(settings.clone());
        SharedHttpConnector::new(connector.build())
    };
    SharedHttpConnector::new(RenewedConnector(Renewed::new(make)))
}

/// What sends the requests of clients of the SDK, with connections of its own.
pub(crate) fn client() -> SharedHttpClient {
    let make = || aws_smithy_http_client::Builder::new().tls_provider(TLS).build_https();
    SharedHttpClient::new(RenewedClient(Renewed::new(make)))
}

/// What the caller does about a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryClass {
    /// Retry: the service was over a limit. The request had no effect.
    Throttled,
    /// Retry: the request may have had its effect or not.
    Ambiguous,
    /// Stop: a retry would fail as well until somebody intervenes.
    Fatal,
}

/// A failed request.
#[derive(Clone, Debug)]
pub(crate) enum RequestError {
    /// The service answered with an error. What its code means depends on the service; [`classify_common`] knows the
    /// codes that all services share.
    Service(ServiceError),
    /// There is no readable response.
    Transport(TransportError),
}

/// A request without a readable response.
#[derive(Clone, Debug)]
pub(crate) struct TransportError {
    pub(crate) class: RetryClass,
    /// What happened and what to do, without the cause.
    pub(crate) message: String,
    pub(crate) source: Option<Source>,
}

/// An error response of a service. Messages about it contain its text, so that a chain shows it once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub(crate) struct ServiceError {
    /// The error code as the service sent it.
    pub(crate) code: String,
    /// The explanation, at most [`MESSAGE_CHARS`] long.
    pub(crate) message: String,
    /// The HTTP status.
    pub(crate) status: u16,
}

impl ServiceError {
    pub(crate) fn new(code: &str, message: Option<&str>, status: u16) -> Self {
        let message = message.unwrap_or("no message").chars().take(MESSAGE_CHARS).collect();
        Self { code: code.to_owned(), message, status }
    }

    /// The code without its name space and without `Exception`, which some services leave out.
    pub(crate) fn name(&self) -> &str {
        let name = self.code.rsplit(['#', '.']).next().unwrap_or(&self.code);
        name.strip_suffix("Exception").unwrap_or(name)
    }
}

/// Classifies an error of the SDK. `doing` names the request in messages, `timeout_setting` the setting that bounds it.
pub(crate) fn classify<E>(doing: &str, timeout_setting: &str, error: SdkError<E, HttpResponse>) -> RequestError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let (class, message) = match &error {
        SdkError::ServiceError(service) => match service.err().code() {
            Some(code) => {
                let status = status.unwrap_or_default();
                return RequestError::Service(ServiceError::new(code, service.err().message(), status));
            }
            None => unreadable(doing, status),
        },
        SdkError::ResponseError(_) => unreadable(doing, status),
        SdkError::TimeoutError(_) => (RetryClass::Ambiguous, format!("{doing} timed out (`{timeout_setting}`)")),
        SdkError::DispatchFailure(failure) => {
            let cause = failure.as_connector_error().map_or_else(String::new, |error| ErrorChain(error).to_string());
            match ["redential", "auth scheme", "dentity"].iter().any(|word| cause.contains(word)) {
                true => no_credentials(doing, &cause),
                false => (RetryClass::Ambiguous, format!("{doing} could not reach the service")),
            }
        }
        other => {
            let cause = other.source().map_or_else(String::new, |error| ErrorChain(error).to_string());
            match cause.contains("redential") {
                true => no_credentials(doing, &cause),
                false => (
                    RetryClass::Fatal,
                    format!("{doing} could not be sent. Check the region and the endpoint in the configuration"),
                ),
            }
        }
    };
    RequestError::Transport(TransportError { class, message, source: error.into_source().ok().map(Arc::from) })
}

/// A failed request, for people.
#[derive(Clone, Debug)]
pub struct RequestFailure {
    /// The error code as the service sent it, if it answered.
    pub code: Option<String>,
    /// What happened and what to do, with its causes.
    pub message: String,
}

/// What a failed request of any service means. `doing` names the request.
pub fn describe_failure<E>(doing: &str, error: SdkError<E, HttpResponse>) -> RequestFailure
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match classify(doing, "the client's own", error) {
        RequestError::Service(error) => {
            let (_, message) = classify_common(doing, &error);
            RequestFailure { code: Some(error.code), message }
        }
        RequestError::Transport(TransportError { message, source, .. }) => {
            let cause = source.map_or_else(String::new, |source| format!(": {}", ErrorChain(&*source)));
            RequestFailure { code: None, message: format!("{message}{cause}") }
        }
    }
}

fn unreadable(doing: &str, status: Option<u16>) -> (RetryClass, String) {
    (RetryClass::Ambiguous, unreadable_response(doing, status.unwrap_or_default()))
}

/// The message of a response without an error code.
pub(crate) fn unreadable_response(doing: &str, status: u16) -> String {
    format!("{doing} got a response that can't be read (HTTP {status})")
}

/// The class and the message of an error whose code means the same in every service.
pub(crate) fn classify_common(doing: &str, error: &ServiceError) -> (RetryClass, String) {
    match error.name() {
        "ProvisionedThroughputExceeded"
        | "Throttling"
        | "ThrottlingError"
        | "RequestLimitExceeded"
        | "LimitExceeded" => (RetryClass::Throttled, format!("{doing} is throttled ({error})")),
        "UnrecognizedClient"
        | "ExpiredToken"
        | "InvalidSignature"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "InvalidToken"
        | "RequestTimeTooSkewed"
        | "SignatureDoesNotMatch"
        | "NotAuthorized"
        | "OptInRequired" => (
            RetryClass::Fatal,
            format!(
                "{doing} failed because the credentials are not accepted ({error}). Renew or replace them \
                 (AWS_ACCESS_KEY_ID and so on, a profile, or a role), and check the machine's clock"
            ),
        ),
        "InternalServerError" | "InternalFailure" | "InternalServer" | "ServiceUnavailable" | "RequestTimeout" => {
            (RetryClass::Ambiguous, format!("{doing} failed in the service ({error})"))
        }
        // A status of 200 with an error code: the service broke the response off.
        _ if error.status >= 500 || error.status == 429 || error.status == 200 => {
            (RetryClass::Ambiguous, format!("{doing} failed in the service ({error})"))
        }
        _ => (RetryClass::Fatal, format!("{doing} failed ({error})")),
    }
}

/// No credentials were found, or their provider does not respond for now.
pub(crate) fn no_credentials(doing: &str, cause: &str) -> (RetryClass, String) {
    if let Some(left_out) = left_out(cause) {
        let message = format!(
            "{doing} needs credentials, and the profile has {left_out}, which this program does not use. Set \
             AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role of the machine"
        );
        return (RetryClass::Fatal, message);
    }
    if is_signed_off(cause) {
        let profile = std::env::var("AWS_PROFILE").ok().filter(|name| !name.is_empty());
        let profile = profile.as_deref().unwrap_or("default");
        let message = format!(
            "{doing} needs credentials, and the profile's are of IAM Identity Center (SSO), which does not give them: \
             you are not signed in, or may not use the role. Run `aws sso login --profile {profile}` (for a profile with a \
             `source_profile`, that one), and check `sso_account_id` and `sso_role_name`"
        );
        return (RetryClass::Fatal, message);
    }
    let for_now = cause.contains("timed out") || cause.contains("error occurred while loading");
    let class = if for_now { RetryClass::Throttled } else { RetryClass::Fatal };
    let message = format!(
        "{doing} needs credentials, and there are none. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile with \
         {PROFILE}, or a role of the machine; a service on this machine accepts any"
    );
    (class, message)
}

/// What a profile may have that gives credentials.
#[cfg(feature = "profiles")]
const PROFILE: &str = "keys, a role, an SSO session or a `credential_process`";
#[cfg(not(feature = "profiles"))]
const PROFILE: &str = "keys or a role";

/// What a profile has that needs a part of the SDK which is left out here, by the SDK's words for it.
fn left_out(cause: &str) -> Option<&'static str> {
    let features = cause.split_once("cargo feature(s) enabled: ")?.1;
    Some(match features.split(['.', ' ']).next() {
        Some("sso") => "credentials of IAM Identity Center (SSO)",
        Some("credentials-process") => "a `credential_process`",
        _ => "a `login_session`",
    })
}

/// Whether IAM Identity Center refuses credentials, or there is no token to ask it with. Its service is the only one
/// that is asked for credentials and has these errors.
fn is_signed_off(cause: &str) -> bool {
    ["SSO token", "UnauthorizedException", "ForbiddenException"].iter().any(|words| cause.contains(words))
}

/// The location of a service, for messages: ` in eu-west-1`, ` at http://localhost:8000`, or both.
pub(crate) fn location(region: Option<&str>, endpoint: Option<&str>) -> String {
    let mut location = region.map(|region| format!(" in {region}")).unwrap_or_default();
    if let Some(endpoint) = endpoint {
        location.push_str(&format!(" at {endpoint}"));
    }
    location
}
