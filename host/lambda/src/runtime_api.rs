//! Lambda's [runtime API](https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html): the next event in, its
//! response out.
//!
//! The loop of `lambda_runtime` does not fit: it ends the process if the deadline is missing, as some emulators leave it,
//! and it parses each event, which would parse a batch of 10,000 records twice, and logs it at its trace level.

use std::env;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Body as HttpBody;
use http_body_util::BodyExt;
use lambda_runtime::{Context, Diagnostic};
use lambda_runtime_api_client::body::Body;
use lambda_runtime_api_client::{BoxError, PooledClient, build_request};
use paceline_pipeline::ErrorChain;

/// The variable with the API's address.
const ADDRESS: &str = "AWS_LAMBDA_RUNTIME_API";

/// Where invocations are under that address.
const INVOCATION: &str = "/2018-06-01/runtime/invocation";

/// Repeated in a response, so that Lambda refuses one that comes after the end of its invocation.
const INVOCATION_ID: &str = "lambda-runtime-invocation-id";

/// No events can be had any more: the process ends, and Lambda starts another one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RuntimeApiError {
    /// The process was not started by Lambda.
    #[error("{ADDRESS} is not the address of Lambda's runtime API: Lambda or an emulator of it starts this program")]
    NoAddress(#[source] Option<http::uri::InvalidUri>),
    /// The API can't be reached.
    #[error("Lambda's runtime API can't be reached")]
    Call(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The API has no event, for good.
    #[error("Lambda's runtime API answered {0} instead of an event")]
    Status(StatusCode),
    /// An answer can't be assigned.
    #[error("Lambda's runtime API sent an event without lambda-runtime-aws-request-id")]
    NoRequestId,
}

impl RuntimeApiError {
    fn call(error: impl Into<BoxError>) -> Self {
        Self::Call(Arc::from(error.into()))
    }
}

/// The runtime API.
#[derive(Debug)]
pub(crate) struct RuntimeApi(PooledClient);

/// An event, and what is known of its invocation.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) body: Bytes,
    /// A deadline that is missing or no number is 0.
    pub(crate) context: Context,
    id: Option<HeaderValue>,
}

impl RuntimeApi {
    /// The API at the address that Lambda sets.
    pub(crate) fn from_env() -> Result<Self, RuntimeApiError> {
        let address = env::var(ADDRESS).map_err(|_| RuntimeApiError::NoAddress(None))?;
        let address: Uri = address.parse().map_err(|error| RuntimeApiError::NoAddress(Some(error)))?;
        if address.authority().is_none() {
            return Err(RuntimeApiError::NoAddress(None));
        }
        Ok(Self(PooledClient::builder().with_endpoint(address).with_pool_size(1).build()))
    }

    /// Waits for the next event.
    pub(crate) async fn next(&self) -> Result<Invocation, RuntimeApiError> {
        loop {
            let request = request(Method::GET, &format!("{INVOCATION}/next"), Body::empty());
            let (head, body) = self.0.call(request).await.map_err(RuntimeApiError::call)?.into_parts();
            // Emulators answer so while there is no event.
            if head.status == StatusCode::NO_CONTENT {
                continue;
            }
            if !head.status.is_success() {
                return Err(RuntimeApiError::Status(head.status));
            }
            let body = collect(body).await.map_err(RuntimeApiError::call)?;
            let context = context(&head.headers).ok_or(RuntimeApiError::NoRequestId)?;
            return Ok(Invocation { body, context, id: head.headers.get(INVOCATION_ID).cloned() });
        }
    }

    /// Sends the outcome of an invocation. If that fails, the invocation ends at its deadline, and Lambda retries it.
    pub(crate) async fn respond(&self, invocation: &Invocation, outcome: Result<Vec<u8>, Diagnostic>) {
        let (what, body) = match outcome {
            Ok(response) => ("response", Body::from(response)),
            Err(diagnostic) => {
                let error = serde_json::json!({
                    "errorType": diagnostic.error_type, "errorMessage": diagnostic.error_message,
                });
                ("error", Body::from(error.to_string()))
            }
        };
        let path = format!("{INVOCATION}/{}/{what}", invocation.context.request_id);
        let mut request = request(Method::POST, &path, body);
        if what == "error" {
            request.headers_mut().insert("lambda-runtime-function-error-type", HeaderValue::from_static("unhandled"));
        }
        if let Some(id) = &invocation.id {
            request.headers_mut().insert(INVOCATION_ID, id.clone());
        }
        match self.0.call(request).await {
            Ok(answer) if answer.status().is_success() => drain(answer).await,
            Ok(answer) => tracing::error!("Lambda's runtime API answered {} to the {what}", answer.status()),
            Err(error) => {
                tracing::error!("Lambda's runtime API did not take the {what}: {}", ErrorChain(&*error));
            }
        }
    }
}

/// Receives an event. Each part is copied while the processor's cache has it, into room for all of them: parts that wait
/// for the last one would be copied from memory, and an event would be in memory twice.
async fn collect<B: HttpBody<Data = Bytes> + Unpin>(mut body: B) -> Result<Bytes, B::Error> {
    /// Lambda's limit for an event.
    const LIMIT: u64 = 6 << 20;

    let announced = body.size_hint().lower().min(LIMIT);
    let mut event = Vec::with_capacity(announced as usize);
    while let Some(frame) = body.frame().await {
        if let Ok(part) = frame?.into_data() {
            event.extend_from_slice(&part);
        }
    }
    Ok(event.into())
}

/// Reads an answer to its end, so that its connection is used again.
async fn drain(answer: Response<impl BodyExt + Unpin>) {
    let mut body = answer.into_body();
    while let Some(Ok(_)) = body.frame().await {}
}

fn request(method: Method, path: &str, body: Body) -> Request<Body> {
    build_request().method(method).uri(path).body(body).expect("paths of the runtime API, and request ids from headers")
}

/// The context of an invocation. `None` without a request id that can stand in a path.
fn context(headers: &HeaderMap) -> Option<Context> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let request_id = header("lambda-runtime-aws-request-id")?;
    format!("/{request_id}").parse::<Uri>().ok()?;
    let mut context = Context::default();
    request_id.clone_into(&mut context.request_id);
    context.deadline = header("lambda-runtime-deadline-ms").and_then(|ms| ms.trim().parse().ok()).unwrap_or(0);
    context.xray_trace_id = header("lambda-runtime-trace-id").map(str::to_owned);
    Some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_context_needs_a_request_id_and_nothing_else() {
        let id = ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd");
        let deadline = |value| context(&headers(&[id, ("lambda-runtime-deadline-ms", value)])).unwrap().deadline;
        assert_eq!(deadline("1542409706888"), 1_542_409_706_888);
        assert_eq!([deadline("soon"), deadline("-1"), deadline("")], [0; 3]);
        assert_eq!(context(&headers(&[id])).unwrap().request_id, id.1);
        let context_of = |id| context(&headers(&[("lambda-runtime-aws-request-id", id)]));
        assert!(context(&HeaderMap::new()).is_none() && context_of("of an emulator").is_none());
    }
}
