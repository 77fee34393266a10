//! The updates of an open page: server-sent events with the sections that have changed.
//!
//! Nothing is queued for a reader. It gets the newest figures when it has read the ones before, and is dropped if it does
//! not read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{sleep, timeout};

use crate::body::Body;
use crate::snapshot::{Snapshots, View};
use crate::status::RaceKey;

/// A reader that has not read the update before after this time is dropped. Its browser connects again.
const READ_WITHIN: Duration = Duration::from_secs(30);

/// What has changed since the update before.
#[derive(Serialize)]
struct Update<'a> {
    title: &'a str,
    /// Elements by their ids.
    sections: BTreeMap<&'static str, &'a str>,
    charts: Option<&'a RawValue>,
}

/// The updates for one reader. The permit is given back when the reader leaves or is dropped.
pub(crate) fn stream(
    snapshots: Arc<Snapshots>,
    chosen: Option<RaceKey>,
    refresh: Duration,
    permit: OwnedSemaphorePermit,
) -> Body {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let _permit = permit;
        let mut before: Option<View> = None;
        // A page that can't be rendered can't be updated either: the reader sees that the updates have ended.
        while let Ok(view) = snapshots.view(chosen.clone()).await {
            let Ok(event) = event(before.as_ref(), &view) else { break };
            if !matches!(timeout(READ_WITHIN, sender.send(event)).await, Ok(Ok(()))) {
                break;
            }
            before = Some(view);
            tokio::select! {
                () = sender.closed() => break,
                () = sleep(refresh) => {}
            }
        }
    });
    Body::events(receiver)
}

fn event(before: Option<&View>, view: &View) -> serde_json::Result<Bytes> {
    let sections = |view: &View| view.snapshot.sections.iter().chain([&view.leaderboard]).cloned().collect::<Vec<_>>();
    let old = before.map(sections).unwrap_or_default();
    let new = sections(view);
    let charts = &view.snapshot.charts;
    let update = Update {
        title: &view.snapshot.title,
        sections: new.iter().filter(|section| !old.contains(section)).map(|new| (new.id, new.html.as_str())).collect(),
        charts: Some(charts.as_ref()).filter(|new| before.is_none_or(|old| old.snapshot.charts.get() != new.get())),
    };
    // JSON has no line breaks outside strings, and none in them.
    Ok(format!("event: update\ndata: {}\n\n", serde_json::to_string(&update)?).into())
}
