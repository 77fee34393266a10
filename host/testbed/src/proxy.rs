//! A proxy in front of DynamoDB that makes go wrong what goes wrong in the real one.
//!
//! DynamoDB Local never throttles, never leaves keys unprocessed, never loses a connection. [`FaultProxy`] does, as
//! often as [`Faults`] say, before or after the request took effect. What it draws follows from its seed and the order
//! in which requests come in.
//!
//! - `faults`: what is drawn for a request, and the errors in DynamoDB's own words.
//! - `partial`: takes a part out of a batch request, and gives it back as unprocessed.
//! - `counts`: what went through, and what capacity it took.

mod counts;
mod faults;
mod partial;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

pub use counts::{Counts, Injected};
pub use faults::Faults;

use faults::{Fate, Plan};
use partial::Part;

type Hook = Box<dyn Fn(u64, &str) + Send>;
type Answer = Response<Full<Bytes>>;

/// A running proxy. It stops when dropped, and cuts the connections that it still has.
///
/// It has a thread of its own, so it goes on while a test blocks.
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    /// Host and port of the DynamoDB behind.
    upstream: String,
    state: Mutex<State>,
    /// Apart from the state, which a hook may ask for and change.
    hook: Mutex<Option<Hook>>,
}

struct State {
    rng: Rng,
    faults: Arc<Faults>,
    counts: Counts,
}

/// The connection shall be reset.
#[derive(Debug)]
struct Reset;

impl std::fmt::Display for Reset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("reset on purpose")
    }
}

impl std::error::Error for Reset {}

impl FaultProxy {
    /// Starts a proxy on a free port of 127.0.0.1, in front of `upstream`: `http://HOST:PORT`.
    ///
    /// # Panics
    ///
    /// If `upstream` is something else, if the faults are no probabilities, or if there is no port.
    pub fn start(upstream: &str, faults: Faults, seed: u64) -> Self {
        let authority = upstream.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        let authority = authority.unwrap_or_else(|| panic!("{upstream} is no http:// address"));
        faults.check();
        let state = State { rng: Rng::with_seed(seed), faults: Arc::new(faults), counts: Counts::default() };
        let shared =
            Arc::new(Shared { upstream: authority.to_owned(), state: Mutex::new(state), hook: Mutex::new(None) });

        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port of 127.0.0.1");
        let address = listener.local_addr().expect("a bound socket has an address");
        listener.set_nonblocking(true).expect("sockets can be set non-blocking");
        let (stop, stopped) = oneshot::channel();
        let serving = shared.clone();
        let thread = std::thread::Builder::new()
            .name("fault-proxy".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(async {
                    let listener = TcpListener::from_std(listener).expect("a socket that can be polled");
                    tokio::select! {
                        _ = stopped => {}
                        () = accept(listener, serving) => {}
                    }
                });
            })
            .expect("a thread can be started");
        Self { address, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens: `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
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
    /// replaced from within. A request goes on to DynamoDB even if the hook kills the one who sent it.
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
    fn arrive(&self, operation: &str) -> Plan {
        let number = self.state().counts.arrived(operation);
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

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(serve(stream, shared.clone()));
            }
            // Out of file descriptors, say: some may be closed meanwhile.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Serves a connection to its end.
async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // Without it a small answer may wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let lane = Arc::new(Lane::default());
    let service = service_fn(move |request: Request<Incoming>| {
        let (shared, lane) = (shared.clone(), lane.clone());
        async move {
            let (parts, body) = request.into_parts();
            // The caller is gone in the middle of its request: there is nobody to answer.
            let body = body.collect().await.map_err(|_| Reset)?.to_bytes();
            // A task of its own goes on when the caller is gone: what has come in takes effect, as in the real one.
            tokio::spawn(handle(shared, lane, parts, body)).await.unwrap_or(Err(Reset))
        }
    });
    let mut connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if (&mut connection).await.is_err() {
        // Closing it now sends RST, not FIN.
        let _ = connection.into_parts().io.into_inner().set_zero_linger();
    }
}

async fn handle(shared: Arc<Shared>, lane: Arc<Lane>, parts: request::Parts, body: Bytes) -> Result<Answer, Reset> {
    let operation = operation(&parts.headers);
    let mut plan = shared.arrive(&operation);
    if let Some(delay) = plan.delay {
        tokio::time::sleep(delay).await;
    }
    match plan.fate {
        Fate::Throttle => return Ok(faults::throttled(&operation, &body, &mut plan.rng)),
        Fate::ErrorBefore => return Ok(faults::server_error(&mut plan.rng)),
        Fate::ResetBefore => return Err(Reset),
        Fate::Forward | Fate::ErrorAfter | Fate::ResetAfter => {}
    }

    let part = if plan.partial { Part::take(&operation, &body, &mut plan.rng) } else { None };
    let answer = match part {
        None => forward(&shared, &lane, &operation, parts, body).await,
        Some(part) => {
            shared.state().counts.held_back(part.held());
            match part.rest() {
                None => faults::answer(StatusCode::OK, part.complete(None), &mut plan.rng),
                Some(rest) => {
                    let answer = forward(&shared, &lane, &operation, parts, rest).await;
                    // An error is an error of the whole request.
                    if answer.status() == StatusCode::OK { completed(&part, answer).await } else { answer }
                }
            }
        }
    };

    match plan.fate {
        Fate::ErrorAfter => Ok(faults::server_error(&mut plan.rng)),
        Fate::ResetAfter => Err(Reset),
        _ => Ok(answer),
    }
}

/// The answer to a part of the request, with what was held back in it.
async fn completed(part: &Part, answer: Answer) -> Answer {
    let (mut parts, body) = answer.into_parts();
    let Ok(body) = body.collect().await;
    // It was right for another body.
    parts.headers.remove("x-amz-crc32");
    Response::from_parts(parts, Full::new(part.complete(Some(&body.to_bytes()))))
}

/// What the request asks for: the last part of `DynamoDB_20120810.PutItem`.
fn operation(headers: &HeaderMap) -> String {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    target.rsplit('.').next().unwrap_or_default().to_owned()
}

/// DynamoDB's answer to a request; of a DynamoDB out of reach, 502 with the reason.
async fn forward(shared: &Shared, lane: &Lane, operation: &str, mut parts: request::Parts, body: Bytes) -> Answer {
    strip(&mut parts.headers);
    // What comes back must be readable here.
    parts.headers.remove(header::ACCEPT_ENCODING);
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    match lane.exchange(&shared.upstream, Request::from_parts(parts, Full::new(body.clone()))).await {
        Ok((mut parts, answer)) => {
            strip(&mut parts.headers);
            parts.headers.remove(header::CONTENT_LENGTH);
            shared.state().counts.capacity(operation, &body, &answer);
            Response::from_parts(parts, Full::new(answer))
        }
        Err(error) => {
            let text = format!("the fault proxy got no answer from {}: {error}", shared.upstream);
            let mut answer = Response::new(Full::new(text.into()));
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
            answer
        }
    }
}

/// Removes what belongs to one connection and not to the message.
fn strip(headers: &mut HeaderMap) {
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::EXPECT] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}

/// The way to DynamoDB that belongs to one of the callers' connections, which has one request at a time.
#[derive(Default)]
struct Lane {
    /// Nothing while it is in use, and before the first request.
    sender: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Lane {
    async fn exchange(
        &self,
        upstream: &str,
        request: Request<Full<Bytes>>,
    ) -> Result<(hyper::http::response::Parts, Bytes), Failure> {
        let kept = lock(&self.sender).take().filter(|sender| !sender.is_closed());
        let (mut sender, answer) = match kept {
            None => Self::send_anew(upstream, request).await?,
            Some(mut sender) => match sender.try_send_request(request).await {
                Ok(answer) => (sender, answer),
                // The connection was closed at the other end before the request went out: it is whole.
                Err(mut error) => match error.take_message() {
                    Some(request) => Self::send_anew(upstream, request).await?,
                    None => return Err(error.into_error().into()),
                },
            },
        };
        let (parts, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        // Until the connection has seen the end of this answer it takes no other request.
        if sender.ready().await.is_ok() {
            *lock(&self.sender) = Some(sender);
        }
        Ok((parts, body))
    }

    async fn send_anew(
        upstream: &str,
        request: Request<Full<Bytes>>,
    ) -> Result<(SendRequest<Full<Bytes>>, Response<Incoming>), Failure> {
        let stream = TcpStream::connect(upstream).await?;
        let _ = stream.set_nodelay(true);
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Its errors reach the one who waits for the answer.
        tokio::spawn(connection);
        let answer = sender.send_request(request).await?;
        Ok((sender, answer))
    }
}
