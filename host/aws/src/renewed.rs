//! HTTP clients that leave a dead connection.
//!
//! All requests to one address share a connection where the service speaks HTTP/2. If its other end vanishes without a
//! word, every request on it runs into its time-out until the kernel gives the connection up, a quarter of an hour later.
//! No retry would reach the service meanwhile, although a new connection would. So a client whose requests get no
//! response is replaced by a new one, which has no connection yet.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

/// So many requests in a row that were given up without a response. A single one may be the service's.
const UNANSWERED: u32 = 2;

/// What is made again once requests through it get no response.
pub(crate) struct Renewed<T> {
    make: Box<dyn Fn() -> T + Send + Sync>,
    current: Mutex<Current<T>>,
}

struct Current<T> {
    client: T,
    /// How often it was made again.
    generation: u64,
    /// Requests in a row that were given up.
    unanswered: u32,
}

impl<T: Clone> Renewed<T> {
    pub(crate) fn new(make: impl Fn() -> T + Send + Sync + 'static) -> Arc<Self> {
        let current = Mutex::new(Current { client: make(), generation: 0, unanswered: 0 });
        Arc::new(Self { make: Box::new(make), current })
    }

    fn lock(&self) -> MutexGuard<'_, Current<T>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self) -> (T, u64) {
        let current = self.lock();
        (current.client.clone(), current.generation)
    }

    fn answered(&self, generation: u64) {
        let mut current = self.lock();
        if current.generation == generation {
            current.unanswered = 0;
        }
    }

    /// A request was given up. Those of an earlier client say nothing about this one.
    fn given_up(&self, generation: u64) {
        let mut current = self.lock();
        if current.generation != generation {
            return;
        }
        current.unanswered += 1;
        if current.unanswered >= UNANSWERED {
            tracing::debug!("{UNANSWERED} requests in a row got no response: the next ones use another connection");
            *current = Current { client: (self.make)(), generation: generation + 1, unanswered: 0 };
        }
    }
}

impl<T> fmt::Debug for Renewed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewed").finish_non_exhaustive()
    }
}

/// A request that is under way. Whoever waits for it gives it up by dropping it.
struct UnderWay<T: Clone> {
    through: Arc<Renewed<T>>,
    generation: u64,
    has_ended: bool,
}

impl<T: Clone> Drop for UnderWay<T> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.through.given_up(self.generation);
        }
    }
}

fn watched<T: Clone + Send + 'static>(
    response: HttpConnectorFuture,
    through: Arc<Renewed<T>>,
    generation: u64,
) -> HttpConnectorFuture {
    HttpConnectorFuture::new(async move {
        let mut request = UnderWay { through, generation, has_ended: false };
        let response = response.await;
        // Of the errors, time-outs to connect and to read leave the connection in use; the others end it.
        request.has_ended = !response.as_ref().is_err_and(|error| error.is_timeout());
        if response.is_ok() {
            request.through.answered(generation);
        }
        response
    })
}

/// A client for those of the SDK.
#[derive(Clone, Debug)]
pub(crate) struct RenewedClient<C: Clone>(pub(crate) Arc<Renewed<C>>);

impl<C: HttpClient + Clone + 'static> HttpClient for RenewedClient<C> {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let (client, generation) = self.0.get();
        let connector = client.http_connector(settings, components);
        SharedHttpConnector::new(OfClient { connector, through: Arc::clone(&self.0), generation })
    }
}

/// A connector of one generation of a client.
#[derive(Debug)]
struct OfClient<C: Clone> {
    connector: SharedHttpConnector,
    through: Arc<Renewed<C>>,
    generation: u64,
}

impl<C: Clone + fmt::Debug + Send + 'static> HttpConnector for OfClient<C> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        watched(self.connector.call(request), Arc::clone(&self.through), self.generation)
    }
}

/// A connector for requests that no client of the SDK sends.
#[derive(Debug)]
pub(crate) struct RenewedConnector(pub(crate) Arc<Renewed<SharedHttpConnector>>);

impl HttpConnector for RenewedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (connector, generation) = self.0.get();
        watched(connector.call(request), Arc::clone(&self.0), generation)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn counted() -> (Arc<Renewed<u32>>, impl Fn() -> u32) {
        let made = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&made);
        let renewed = Renewed::new(move || made.fetch_add(1, Ordering::Relaxed));
        (renewed, move || count.load(Ordering::Relaxed))
    }

    fn begin(renewed: &Arc<Renewed<u32>>, answer: bool) -> UnderWay<u32> {
        let (_, generation) = renewed.get();
        if answer {
            renewed.answered(generation);
        }
        UnderWay { through: Arc::clone(renewed), generation, has_ended: answer }
    }

    #[test]
    fn two_requests_in_a_row_without_a_response_renew_the_client() {
        let (renewed, made) = counted();
        drop(begin(&renewed, false));
        drop(begin(&renewed, true));
        drop(begin(&renewed, false));
        assert_eq!(made(), 1, "one was answered in between");
        drop(begin(&renewed, false));
        assert_eq!((made(), renewed.get()), (2, (1, 1)));
    }

    #[test]
    fn requests_through_an_earlier_client_do_not_count() {
        let (renewed, made) = counted();
        let all: Vec<_> = (0..16).map(|_| begin(&renewed, false)).collect();
        drop(all);
        assert_eq!(made(), 2, "all were on one connection");
        drop(begin(&renewed, false));
        renewed.answered(0);
        drop(begin(&renewed, false));
        assert_eq!(made(), 3, "an answer on the earlier connection says nothing about this one");
    }
}
