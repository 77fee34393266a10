//! Ctrl-C and SIGTERM.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};

use crate::Failure;

/// Ready at the first Ctrl-C or SIGTERM, of which `note` hears. The second ends the process at once.
pub(crate) fn stop_signal(note: impl FnOnce() + Send + 'static) -> Result<impl Future<Output = ()>, Failure> {
    let listen = |kind| signal(kind).map_err(|error| format!("no signal can be listened for: {error}"));
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
