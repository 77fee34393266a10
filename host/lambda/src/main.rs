//! The program `bootstrap`, which Lambda starts: Kinesis batches in, DynamoDB items out.
//!
//! # Layout
//!
//! - `start`: the configuration, and what of it can't be right.
//! - `body`: the event's bytes, past the runtime's own reading.
//! - `handler`: one event, from its bytes to the answer.
//! - `window`: the state of a tumbling window, as Lambda carries it from event to event.
//! - `metrics`: what an event came to, in CloudWatch's embedded metric format.
//!
//! Logs and metrics go to standard output, one JSON object a line; payloads never do.
#![forbid(unsafe_code)]

mod body;
mod handler;
mod metrics;
mod start;
mod window;

use std::process::ExitCode;
use std::sync::Arc;

use lambda_runtime::layers::TracingLayer;
use lambda_runtime::{Diagnostic, LambdaEvent, Runtime, service_fn};

use body::Body;
use handler::Handler;

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
    // One event at a time, and one core or less: requests overlap while they wait, not while they compute.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("the runtime can't start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), lambda_runtime::Error> {
    // A function that can't start still answers, so that what is wrong is seen where the operator looks: in the
    // function's errors and in the on-failure destination, not only in a log.
    let handler = match start::start().await {
        Ok(handler) => Ok(Arc::new(handler)),
        Err(wrong) => {
            tracing::error!("the function can't start: {wrong}");
            Err(wrong)
        }
    };
    let body = Body::default();
    let serve = |event: LambdaEvent<()>| {
        let (handler, body) = (handler.clone(), body.clone());
        async move {
            // The type is what CloudWatch and the on-failure destination tell failures apart by.
            let failed = |of: &str, why: String| Diagnostic { error_type: of.to_owned(), error_message: why };
            let handler: Arc<Handler> = handler.map_err(|why| failed("StartFailed", why))?;
            handler.handle(&body.take(), &event.context).await.map_err(|why| failed("BatchFailed", why))
        }
    };
    Runtime::new(service_fn(serve)).layer(body.clone()).layer(TracingLayer::new()).run().await
}
