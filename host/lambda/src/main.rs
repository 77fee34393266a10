//! The program `bootstrap`, which Lambda starts.
//!
//! # Layout
//!
//! - `start`: from the configuration to a handler.
//! - `runtime_api`: the events from Lambda, and the responses to it.
//!
//! Logs and metrics go to standard output, one JSON object a line. They never contain payloads.
#![forbid(unsafe_code)]

mod runtime_api;
mod start;

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::task::Poll;

use lambda_runtime::{Context, Diagnostic};
use paceline_config::AnyStore;
use paceline_lambda::{self as function, Handler};
use paceline_pipeline::ErrorChain;
use tracing::Instrument;
use tracing_subscriber::filter::LevelFilter;

use runtime_api::{Invocation, RuntimeApi, RuntimeApiError};
use start::StartError;

/// A batch allocates and frees small blocks by the thousand, which the C library's allocator is slower at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let log = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_max_level(LevelFilter::TRACE)
        // It would report the error where the log can't be written, and panic.
        .log_internal_errors(false);
    paceline_config::log_to(log.finish());
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
            tracing::error!("the function ends: {}", ErrorChain(&error));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), RuntimeApiError> {
    let api = RuntimeApi::from_env()?;
    // A function that can't start still responds to each event, so that the reason is where operators look: in the
    // function's errors and in the on-failure destination, not only in the log. And each event tries again: the table or
    // the registry may be there by then, and the execution environment may live for hours.
    let mut handler = started().await.ok();
    loop {
        let invocation = api.next().await?;
        let Context { request_id, xray_trace_id, .. } = &invocation.context;
        // At the highest level, so that no filter leaves the ids out.
        let span = match xray_trace_id {
            Some(trace) => tracing::error_span!("invocation", requestId = request_id, xrayTraceId = trace),
            None => tracing::error_span!("invocation", requestId = request_id),
        };
        let outcome =
            catch_panic(outcome(&mut handler, &invocation).instrument(span.clone())).instrument(span.clone()).await;
        api.respond(&invocation, outcome).instrument(span).await;
    }
}

/// The response to an event, or the error that Lambda reports.
async fn outcome(handler: &mut Option<Handler<AnyStore>>, invocation: &Invocation) -> Result<Vec<u8>, Diagnostic> {
    let handler = match handler {
        Some(handler) => handler,
        none => none.insert(started().await.map_err(|error| diagnostic("StartFailed", &error))?),
    };
    let Context { request_id, deadline, .. } = &invocation.context;
    let known = function::Invocation { request_id, deadline_ms: *deadline };
    // Boxed, because the compiler limits how deep futures nest in one type.
    let response = Box::pin(handler.handle(&invocation.body, known)).await.map_err(|error| {
        tracing::error!("the invocation failed, and Lambda retries the whole batch: {}", ErrorChain(&error));
        diagnostic("BatchFailed", &error)
    })?;
    Ok(response.to_json())
}

/// Makes a panic an error of the event that caused it. The process goes on with the next one.
async fn catch_panic(outcome: impl Future<Output = Result<Vec<u8>, Diagnostic>>) -> Result<Vec<u8>, Diagnostic> {
    let mut outcome = std::pin::pin!(outcome);
    let polled =
        std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| outcome.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        });
    polled.await.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        tracing::error!("the invocation panicked, and Lambda retries the whole batch: {text}");
        Err(Diagnostic { error_type: "Panic".to_owned(), error_message: text.to_owned() })
    })
}

/// Starts. A failure is in the log as well.
async fn started() -> Result<Handler<AnyStore>, StartError> {
    let started = Box::pin(start::start()).await;
    started.inspect_err(|error| tracing::error!("the function can't start: {}", ErrorChain(error)))
}

/// An error as Lambda reports it. CloudWatch and the on-failure destination distinguish failures by the type.
fn diagnostic(error_type: &str, error: &(dyn Error + 'static)) -> Diagnostic {
    Diagnostic { error_type: error_type.to_owned(), error_message: ErrorChain(error).to_string() }
}
