//! A proxy in front of DynamoDB or Kinesis that makes go wrong what goes wrong in the real ones.
//!
//! DynamoDB Local and kinesis-local never throttle, never leave a part undone, never lose a connection. [`FaultProxy`]
//! does, as often as [`Faults`] say, before or after the request took effect. What it draws follows from its seed and
//! the order in which requests come in. It tells the services apart by what a request says it asks for.
//!
//! - `serve`: connections, plain or by `tls`, and the way of a request.
//! - `faults`: what is drawn for a request.
//! - `call`: a request on its way, and how it goes on to the service behind.
//! - `dynamodb`: that service's errors; `partial` takes a part out of a batch and gives it back as unprocessed.
//! - `kinesis`: that service's errors and limits, its shards, iterators and subscriptions.
//! - `body`: an answer that comes whole, or piece by piece.
//! - `counts`: what went through, and what capacity it took.

mod body;
mod call;
mod counts;
mod dynamodb;
mod faults;
mod kinesis;
mod partial;
mod serve;
mod tls;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use fastrand::Rng;
use hyper::Version;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use counts::{Counts, Injected};
pub use faults::Faults;
pub use kinesis::{KinesisFaults, KinesisLimits};

use faults::Plan;
use kinesis::Known;
use tls::Certificate;

type Hook = Box<dyn Fn(u64, &str) + Send>;

/// A running proxy. It stops when dropped, and cuts the connections that it still has.
///
/// It has a thread of its own, so it goes on while a test blocks.
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
    /// What it speaks TLS with, if it does.
    certificate: Option<Certificate>,
}

struct Shared {
    /// Host and port of the service behind.
    upstream: String,
    state: Mutex<State>,
    /// Apart from the state, which a hook may ask for and change.
    hook: Mutex<Option<Hook>>,
    /// What it has learnt of Kinesis' streams.
    kinesis: Mutex<Known>,
}

struct State {
    rng: Rng,
    faults: Arc<Faults>,
    counts: Counts,
}

impl FaultProxy {
    /// Starts a proxy on a free port of 127.0.0.1, in front of `upstream`: `http://HOST:PORT`.
    ///
    /// # Panics
    ///
    /// If `upstream` is something else, if the faults are no probabilities, or if there is no port.
    pub fn start(upstream: &str, faults: Faults, seed: u64) -> Self {
        Self::start_with(upstream, faults, seed, None)
    }

    /// Likewise, with TLS in front and plain HTTP behind. Clients of Amazon's speak HTTP/2 by TLS only. They must trust
    /// [`FaultProxy::certificate_file`].
    ///
    /// # Panics
    ///
    /// As [`FaultProxy::start`].
    pub fn start_tls(upstream: &str, faults: Faults, seed: u64) -> Self {
        Self::start_with(upstream, faults, seed, Some(Certificate::new()))
    }

    fn start_with(upstream: &str, faults: Faults, seed: u64, certificate: Option<Certificate>) -> Self {
        let authority = upstream.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        let authority = authority.unwrap_or_else(|| panic!("{upstream} is no http:// address"));
        faults.check();
        let state = State { rng: Rng::with_seed(seed), faults: Arc::new(faults), counts: Counts::default() };
        let shared = Arc::new(Shared {
            upstream: authority.to_owned(),
            state: Mutex::new(state),
            hook: Mutex::new(None),
            kinesis: Mutex::default(),
        });

        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port of 127.0.0.1");
        let address = listener.local_addr().expect("a bound socket has an address");
        listener.set_nonblocking(true).expect("sockets can be set non-blocking");
        let (stop, stopped) = oneshot::channel();
        let (serving, tls) = (shared.clone(), certificate.as_ref().map(Certificate::acceptor));
        let thread = std::thread::Builder::new()
            .name("fault-proxy".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(async {
                    let listener = TcpListener::from_std(listener).expect("a socket that can be polled");
                    tokio::select! {
                        _ = stopped => {}
                        () = serve::accept(listener, serving, tls) => {}
                    }
                });
            })
            .expect("a thread can be started");
        Self { address, shared, stop: Some(stop), thread: Some(thread), certificate }
    }

    /// Where it listens: `http://127.0.0.1:PORT`, or `https://…`.
    pub fn endpoint(&self) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The certificate to be trusted, in PEM. A program that trusts what its machine does takes it by `SSL_CERT_FILE`.
    ///
    /// # Panics
    ///
    /// If it was started without TLS.
    pub fn certificate_file(&self) -> &Path {
        self.certificate.as_ref().expect("a proxy started by `start_tls`").file()
    }

    /// Other faults, for the requests that come in from now on.
    ///
    /// # Panics
    ///
    /// If they are no probabilities.
    pub fn set_faults(&self, faults: Faults) {
        faults.check();
        self.shared.state().faults = Arc::new(faults);
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.shared.state().counts.clone()
    }

    /// Calls `hook` with each request that has come in whole: the how many-th it is, from 1, and its operation. Nothing
    /// has been drawn for it yet and nothing forwarded, so the hook may set the faults that this very request meets.
    /// Faults set elsewhere while it runs, or on a sign that it gave, may or may not meet it.
    ///
    /// It runs on the proxy's thread: while it does, nothing else moves. It replaces the hook before it, and can't be
    /// replaced from within. A request goes on to the service even if the hook kills the one who sent it.
    pub fn on_request(&self, hook: impl Fn(u64, &str) + Send + 'static) {
        *lock(&self.shared.hook) = Some(Box::new(hook));
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic in there has been printed, and is no reason for another one here.
            let _ = thread.join();
        }
    }
}

/// What the lock guards stays usable when a hook has panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Counts a request in, shows it to the hook and draws what will happen to it.
    fn arrive(&self, operation: &str, version: Version) -> Plan {
        let number = self.state().counts.arrived(operation, version);
        if let Some(hook) = &*lock(&self.hook) {
            hook(number, operation);
        }
        let mut state = self.state();
        // One draw a request, whatever its faults: the next one's do not depend on them.
        let rng = Rng::with_seed(state.rng.u64(..));
        let plan = state.faults.clone().draw(operation, rng);
        state.counts.plan(&plan);
        plan
    }
}
