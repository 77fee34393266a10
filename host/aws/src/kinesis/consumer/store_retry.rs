//! Retries of the store outside the pipeline, for checkpoints.

use std::future::Future;
use std::time::Duration;

use paceline_pipeline::ErrorChain;
use paceline_pipeline::store::StoreError;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// The wait before the store is called again.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Repeats a call of the store while its error is transient. Once `stop` is cancelled, the next transient error is
/// returned. `on_wait` is called before each wait.
pub(super) async fn retry_transient<T, F>(
    doing: &str,
    stop: &CancellationToken,
    call: impl FnMut() -> F,
    mut on_wait: impl FnMut(),
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let pause = || {
        on_wait();
        sleep(RETRY_AFTER)
    };
    retry_with(doing, stop, call, pause).await
}

async fn retry_with<T, F, P>(
    doing: &str,
    stop: &CancellationToken,
    mut call: impl FnMut() -> F,
    mut pause: impl FnMut() -> P,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
    P: Future<Output = ()>,
{
    loop {
        let error = match call().await {
            Err(error) if error.is_transient() => error,
            done => return done,
        };
        tracing::warn!("{doing} waits for the store: {}", ErrorChain(&error));
        tokio::select! {
            biased;
            () = stop.cancelled() => return Err(error),
            () = pause() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    async fn call(fatal_at: u32, stop: &CancellationToken) -> (Result<u32, StoreError>, u32) {
        let (calls, waits) = (Cell::new(0), Cell::new(0));
        let retried = retry_with(
            "a checkpoint",
            stop,
            || {
                calls.set(calls.get() + 1);
                let call = calls.get();
                async move {
                    match call {
                        4 => Ok(call),
                        call if call == fatal_at => Err(StoreError::fatal("no such table")),
                        _ => Err(StoreError::transient("throttled")),
                    }
                }
            },
            || {
                waits.set(waits.get() + 1);
                std::future::ready(())
            },
        );
        (retried.await, waits.get())
    }

    #[tokio::test]
    async fn transient_errors_are_retried_until_the_call_succeeds() {
        let (result, waits) = call(0, &CancellationToken::new()).await;
        assert_eq!((result.unwrap(), waits), (4, 3));
    }

    #[tokio::test]
    async fn a_fatal_error_and_a_stop_end_the_retries() {
        let (result, waits) = call(2, &CancellationToken::new()).await;
        assert!(!result.unwrap_err().is_transient());
        assert_eq!(waits, 1);
        let stop = CancellationToken::new();
        stop.cancel();
        let (result, waits) = call(0, &stop).await;
        assert!(result.unwrap_err().is_transient());
        assert_eq!(waits, 1);
    }
}
