//! The program `bootstrap`, which Lambda starts.
//!
//! # Layout
//!
//! - `start`: from the configuration to a handler.
//! - `take_body`: takes the event's bytes before the Lambda runtime parses them.
//!
//! Logs and metrics go to standard output, one JSON object a line. They never contain payloads.
#![forbid(unsafe_code)]

mod start;
mod take_body;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use lambda_runtime::layers::TracingLayer;
use lambda_runtime::{Diagnostic, LambdaEvent, Runtime, service_fn};
use paceline_lambda::Handler;
use paceline_pipeline::ErrorChain;

use start::StartError;
use take_body::Body;

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_env_filter(filter)
        .init();
    // One event at a time, on one core or less: requests overlap while they wait, not while they compute.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("the asynchronous runtime can't start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("the Lambda runtime API failed: {}", ErrorChain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), lambda_runtime::Error> {
    // A function that can't start still responds to each event, so that the reason is where operators look: in the
    // function's errors and in the on-failure destination, not only in the log.
    let handler = match start::start().await {
        Ok(handler) => Ok(Arc::new(handler)),
        Err(error) => {
            tracing::error!("the function can't start: {}", ErrorChain(&error));
            Err(Arc::new(error))
        }
    };
    let body = Body::default();
    let serve = |event: LambdaEvent<()>| {
        let (handler, body) = (handler.clone(), body.clone());
        async move {
            let handler: Arc<Handler> = handler.map_err(|error: Arc<StartError>| diagnostic("StartFailed", &*error))?;
            let body = body.take();
            // Boxed, because the compiler limits how deep futures nest in one type.
            Box::pin(handler.handle(&body, &event.context)).await.map_err(|error| {
                tracing::error!("the invocation failed, and Lambda retries the whole batch: {}", ErrorChain(&error));
                diagnostic("BatchFailed", &error)
            })
        }
    };
    Runtime::new(service_fn(serve)).layer(body.clone()).layer(TracingLayer::new()).run().await
}

/// An error as Lambda reports it. CloudWatch and the on-failure destination distinguish failures by the type.
fn diagnostic(error_type: &str, error: &(dyn Error + 'static)) -> Diagnostic {
    Diagnostic { error_type: error_type.to_owned(), error_message: ErrorChain(error).to_string() }
}
