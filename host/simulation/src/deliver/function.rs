//! Invocations of a function: an event, the time that it may take, and its response.

use std::time::Duration;

use paceline_lambda::{Invocation, InvocationError};
use paceline_pipeline::ErrorChain;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::Fleet;
use crate::finding::Finding;
use crate::host::Life;
use crate::plant::Plant;
use crate::time::time_ms;

/// The shortest and the longest time that an invocation may take, in milliseconds.
const TIMEOUT_MS: (u64, u64) = (3_000, 60_000);
/// The same if its deadline is near: it passes while the batch is processed.
const HURRIED_MS: (u64, u64) = (210, 600);

/// A function's response.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Response {
    batch_item_failures: Vec<Failure>,
    state: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Failure {
    item_identifier: String,
}

impl Response {
    /// The sequence number from which on records come again: the lowest one.
    pub(super) fn first_failure(&self) -> Option<&str> {
        let failures = self.batch_item_failures.iter().map(|failure| &*failure.item_identifier);
        failures.min_by_key(|identifier| (identifier.len(), identifier.to_owned()))
    }

    /// The window's state.
    pub(super) fn state(&self) -> Option<&str> {
        self.state.as_deref().map(RawValue::get)
    }
}

/// Invokes a function on any host. `None` if it failed, ran out of time or died.
pub(super) async fn invoke(fleet: &Fleet, event: &[u8], closes_window: bool) -> Option<Response> {
    let (world, host) = (&fleet.world, fleet.any_host());
    let _alone = host.busy.lock().await;
    let life = host.life().await;
    let (least, most) = if world.chance(world.plan.hurried) { HURRIED_MS } else { TIMEOUT_MS };
    let timeout = least + world.below(most - least);
    let until = Instant::now() + Duration::from_millis(timeout);
    let deadline_ms = match world.oddly().then(|| world.below(3)) {
        None => time_ms(world.now_ms() + timeout),
        Some(0) => 0,
        Some(1) => time_ms(world.now_ms() + timeout) / 1_000,
        Some(_) => u64::MAX,
    };
    let invocation = Invocation { request_id: "8476a536-e9f4-11e8-9739-2dfe598c3fcd", deadline_ms };
    let respond = async {
        let response = respond(fleet, &life, event, invocation).await?;
        if closes_window && world.is_planted(Plant::WindowClosedTwice) && world.below(4) == 0 {
            life.pipeline.store().hide_dedup(true);
            let twice = respond(fleet, &life, event, invocation).await;
            life.pipeline.store().hide_dedup(false);
            return twice;
        }
        Some(response)
    };
    match tokio::time::timeout_at(until, life.work(respond)).await {
        Err(_) => {
            life.kill(world);
            None
        }
        Ok(response) => response.flatten(),
    }
}

async fn respond(fleet: &Fleet, life: &Life, event: &[u8], invocation: Invocation<'_>) -> Option<Response> {
    let report = |error: String| fleet.world.report(Finding::Fatal { at_ms: fleet.world.now_ms(), error });
    // Boxed, because the compiler limits how deep futures nest in one type.
    match Box::pin(life.handler.handle(event, invocation)).await {
        Ok(response) => match serde_json::from_slice(&response.to_json()) {
            Ok(response) => Some(response),
            Err(error) => {
                report(format!("the response can't be read: {error}"));
                None
            }
        },
        Err(InvocationError::Pipeline(error)) => {
            if !error.is_transient() {
                fleet.report_fatal(&error);
            }
            None
        }
        Err(error) => {
            report(ErrorChain(&error).to_string());
            None
        }
    }
}
