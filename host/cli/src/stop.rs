//! Ctrl-C and SIGTERM.

use std::future::Future;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

/// Ready at the first Ctrl-C or SIGTERM, after a call of `note`. The second one ends the process at once.
#[expect(clippy::disallowed_methods, reason = "the second signal means: at once, whatever is lost")]
pub(crate) fn stop_signal(note: impl FnOnce() + Send + 'static) -> anyhow::Result<impl Future<Output = ()>> {
    let listen = |kind| signal(kind).context("no signal handler can be installed");
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let (sender, receiver) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        next().await;
        note();
        let _ = sender.send(());
        next().await;
        std::process::exit(130);
    });
    Ok(async {
        if receiver.await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
