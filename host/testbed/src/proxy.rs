//! A proxy in front of DynamoDB or Kinesis that injects the faults of the real services, and in front of any service that
//! records what permissions its requests need.
//!
//! DynamoDB Local and kinesis-local have no limits and never throttle, never leave a batch unprocessed, never lose a connection.
//! [`FaultProxy`] does, as often as [`Faults`] sets, before or after the request takes effect. The seed and the order
//! of the requests determine every random choice. The header `x-amz-target` of a request names its service.
//!
//! # Layout
//!
//! - `serve`: connections, and how a request is handled.
//! - `tls`: the certificate of a proxy that speaks TLS.
//! - `kinesis`, `dynamodb`: the faults of each service, in its own error messages.
//! - `target`: what a request is for. `call`: one request, and how it is forwarded; `upstream`: the connections for that.
//! - `state`: what all connections share; `counts`: what went through; `access`: the permissions that it needs.
//! - `plan`: the faults drawn for a request; `faults`: the settings.
//! - `body`: complete and streamed bodies of responses.

mod access;
mod body;
mod call;
mod counts;
mod dynamodb;
mod faults;
mod kinesis;
mod plan;
mod serve;
mod state;
mod target;
mod tls;
mod upstream;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use access::Access;
pub use counts::{Counts, Injected, WriteCounts};
pub use faults::{DynamoDbLimits, Faults, IndexLimit, KinesisFaults, KinesisLimits, UnitLimit};

use state::ProxyState;
use tls::Certificate;

/// A running proxy. When dropped, it stops and closes its connections.
///
/// It has its own thread, so that it runs while a test blocks.
pub struct FaultProxy {
    address: SocketAddr,
    state: Arc<ProxyState>,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
    /// Of a proxy that speaks TLS.
    certificate: Option<Certificate>,
}

impl FaultProxy {
    /// Starts a proxy on a free port of 127.0.0.1, in front of `upstream`: `http://HOST:PORT`.
    ///
    /// # Panics
    ///
    /// If `upstream` is another kind of address, if a fault is out of range, or if no port is free.
    pub fn start(upstream: &str, faults: Faults, seed: u64) -> Self {
        Self::start_with(upstream, faults, seed, None)
    }

    /// Starts a proxy that speaks TLS to its callers and plain HTTP to the service: Amazon's clients use HTTP/2 with
    /// TLS only. They must trust [`FaultProxy::certificate_file`].
    ///
    /// # Panics
    ///
    /// As [`FaultProxy::start`].
    pub fn start_tls(upstream: &str, faults: Faults, seed: u64) -> Self {
        Self::start_with(upstream, faults, seed, Some(Certificate::generate()))
    }

    fn start_with(upstream: &str, faults: Faults, seed: u64, certificate: Option<Certificate>) -> Self {
        let authority = upstream.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        let authority = authority.unwrap_or_else(|| panic!("`{upstream}` is not an address such as http://HOST:PORT"));
        faults.check();
        let state = Arc::new(ProxyState::new(authority.to_owned(), faults, seed));

        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port of 127.0.0.1");
        let address = listener.local_addr().expect("the address of a bound socket");
        listener.set_nonblocking(true).expect("a non-blocking socket");
        let (stop, stopped) = oneshot::channel();
        let (serving, tls) = (state.clone(), certificate.as_ref().map(Certificate::acceptor));
        let thread = std::thread::Builder::new()
            .name("fault-proxy".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(async {
                    let listener = TcpListener::from_std(listener).expect("a non-blocking socket");
                    tokio::select! {
                        _ = stopped => {}
                        () = serve::accept(listener, serving, tls) => {}
                    }
                });
            })
            .expect("a thread");
        Self { address, state, stop: Some(stop), thread: Some(thread), certificate }
    }

    /// The address that it listens on: `http://127.0.0.1:PORT`, or `https://…`.
    pub fn endpoint(&self) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Its certificate, in PEM. A program that trusts the certificates of its machine reads it from `SSL_CERT_FILE`.
    ///
    /// # Panics
    ///
    /// If the proxy was started without TLS.
    pub fn certificate_file(&self) -> &Path {
        self.certificate.as_ref().expect("a proxy started by `start_tls`").file()
    }

    /// Replaces the faults for all requests that come later, and for events of open subscriptions.
    ///
    /// # Panics
    ///
    /// If a fault is out of range.
    pub fn set_faults(&self, faults: Faults) {
        faults.check();
        self.state.set_faults(faults);
    }

    /// Connections that exist now fall silent, and stay open: as those of a machine that is gone without a word. Later
    /// connections are served.
    pub fn freeze_connections(&self) {
        self.state.freeze_connections();
    }

    /// The requests received and the faults injected so far.
    pub fn counts(&self) -> Counts {
        self.state.counts()
    }

    /// Calls `hook` for each request that was read completely, with the request's number, from 1, and its operation.
    /// Its faults are not drawn yet and it is not forwarded yet: the hook may set the faults of this very request.
    /// Faults that another thread sets while the hook runs may or may not apply to this request.
    ///
    /// The hook runs on the proxy's thread and blocks all other requests. It replaces the previous hook, and can't be
    /// replaced from within. The request is forwarded even if the hook kills its sender.
    pub fn on_request(&self, hook: impl Fn(u64, &str) + Send + 'static) {
        self.state.set_hook(Box::new(hook));
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A hook may drop the last handle of the proxy, on the proxy's own thread.
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic of that thread was printed already.
            let _ = thread.join();
        }
    }
}
