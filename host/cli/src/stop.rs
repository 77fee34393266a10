//! Ctrl-C and SIGTERM.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

/// How long plugins may run after the signal to stop. Sound ones take a small part of it for a batch; what is not done
/// by then is left to the next start.
pub(crate) const CALLS_AFTER_STOP: Duration = Duration::from_secs(5);

/// Signals within this time are one: a supervisor may signal the process and its group, as `timeout` does.
const ONE_SIGNAL: Duration = Duration::from_millis(500);

/// Ready at the first Ctrl-C or SIGTERM, after a call of `note`. A later one ends the process at once. A thread of
/// its own waits for them: all others may be busy with calls of plugins.
#[expect(clippy::disallowed_methods, reason = "the second signal means: at once, whatever is lost")]
pub(crate) fn stop_signal(note: impl FnOnce() + Send + 'static) -> anyhow::Result<impl Future<Output = ()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context(NO_HANDLER)?;
    let listen = |kind| signal(kind).context(NO_HANDLER);
    let entered = runtime.enter();
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    drop(entered);
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let signals = async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        next().await;
        let first = Instant::now();
        note();
        let _ = sender.send(());
        loop {
            next().await;
            if first.elapsed() > ONE_SIGNAL {
                std::process::exit(130);
            }
        }
    };
    let thread = std::thread::Builder::new().name("paceline-signals".to_owned());
    thread.spawn(move || runtime.block_on(signals)).context(NO_HANDLER)?;
    Ok(async {
        if receiver.await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

const NO_HANDLER: &str = "no signal handler can be installed";
