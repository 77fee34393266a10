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
use tokio::sync::Mutex;

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
    // function's errors and in the on-failure destination, not only in the log. And each event tries again: the table or
    // the registry may be there by then, and the execution environment may live for hours.
    let handler: Arc<Mutex<Option<Arc<Handler>>>> = Arc::new(Mutex::new(started().await.ok()));
    let body = Body::default();
    let serve = |event: LambdaEvent<()>| {
        let (handler, body) = (Arc::clone(&handler), body.clone());
        async move {
            let body = body.take();
            let handler = {
                let mut handler = handler.lock().await;
                match &mut *handler {
                    Some(handler) => Arc::clone(handler),
                    none => {
                        let started = started().await.map_err(|error| diagnostic("StartFailed", &error))?;
                        Arc::clone(none.insert(started))
                    }
                }
            };
            // Boxed, because the compiler limits how deep futures nest in one type.
            Box::pin(handler.handle(&body, &event.context)).await.map_err(|error| {
                tracing::error!("the invocation failed, and Lambda retries the whole batch: {}", ErrorChain(&error));
                diagnostic("BatchFailed", &error)
            })
        }
    };
    Runtime::new(service_fn(serve)).layer(body.clone()).layer(TracingLayer::new()).run().await
}

/// Starts. A failure is in the log as well.
async fn started() -> Result<Arc<Handler>, StartError> {
    let started = Box::pin(start::start()).await.map(Arc::new);
    started.inspect_err(|error| tracing::error!("the function can't start: {}", ErrorChain(error)))
}

/// An error as Lambda reports it. CloudWatch and the on-failure destination distinguish failures by the type.
fn diagnostic(error_type: &str, error: &(dyn Error + 'static)) -> Diagnostic {
    Diagnostic { error_type: error_type.to_owned(), error_message: ErrorChain(error).to_string() }
}
