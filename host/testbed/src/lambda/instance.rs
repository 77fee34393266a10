//! One instance of a function: its process, and the runtime API that it talks to.

use std::convert::Infallible;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, io};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

use super::logs::Logs;
use super::{ACCOUNT, Configuration, Invocation, MAX_RESPONSE_BYTES, REGION};

/// The version of the runtime API, as its paths name it.
const API: &str = "/2018-06-01/runtime/";

/// An invocation on its way to the function.
#[derive(Debug)]
pub(super) struct Job {
    /// The event.
    pub(super) event: Bytes,
    /// How long the function may take.
    pub(super) timeout: Duration,
    /// Told when the function takes the event.
    pub(super) begun: oneshot::Sender<()>,
    /// Told what came of it.
    pub(super) outcome: oneshot::Sender<Invocation>,
}

/// One process.
#[derive(Debug)]
pub(super) struct Instance {
    arn: String,
    pid: Option<u32>,
    api: Mutex<RuntimeApi>,
    /// There is a job on the desk.
    assigned: Notify,
    /// The process shall be killed.
    kill: Notify,
    /// The process has ended.
    dead: watch::Receiver<bool>,
}

/// What the instance is doing.
#[derive(Debug, Default)]
struct RuntimeApi {
    /// It belongs to a caller.
    reserved: bool,
    /// It could not be set up and is about to be killed.
    failed: bool,
    /// The function has not asked for it yet.
    waiting: Option<Job>,
    /// The function is at work on it.
    in_flight: Option<PendingInvocation>,
}

#[derive(Debug)]
struct PendingInvocation {
    request_id: String,
    since: Instant,
    outcome: oneshot::Sender<Invocation>,
}

impl Instance {
    /// Starts a process, reserved for the caller. Must run on the thread that the process shall die with.
    pub(super) async fn start(configuration: &Configuration, number: usize, logs: Arc<Logs>) -> io::Result<Arc<Self>> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let mut child = command(configuration, number, &listener.local_addr()?.to_string()).spawn()?;
        let (stdout, stderr) = (child.stdout.take().expect("it is piped"), child.stderr.take().expect("it is piped"));
        let of_stderr = logs.clone();
        tokio::spawn(async move { logs.collect(stdout).await });
        tokio::spawn(async move { of_stderr.collect(stderr).await });
        let (died, dead) = watch::channel(false);
        let instance = Arc::new(Self {
            arn: format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{}", configuration.name),
            pid: child.id(),
            api: Mutex::new(RuntimeApi { reserved: true, ..RuntimeApi::default() }),
            assigned: Notify::new(),
            kill: Notify::new(),
            dead,
        });
        let server = tokio::spawn(serve(listener, instance.clone()));
        let watched = instance.clone();
        tokio::spawn(async move {
            watched.outlive(child).await;
            server.abort();
            // The instance itself holds a receiver.
            let _ = died.send(true);
        });
        Ok(instance)
    }

    fn api(&self) -> MutexGuard<'_, RuntimeApi> {
        self.api.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves it, if it is idle and alive.
    pub(super) fn reserve(&self) -> bool {
        let mut api = self.api();
        let free = !api.reserved && !self.is_dead();
        api.reserved |= free;
        free
    }

    /// Makes it idle, unless it failed.
    pub(super) fn free(&self) {
        let mut api = self.api();
        api.reserved = api.failed;
    }

    /// Gives it a job: the function gets it when it next asks.
    pub(super) fn assign(&self, job: Job) {
        self.api().waiting = Some(job);
        self.assigned.notify_one();
    }

    /// How long its threads have run on a processor, by the kernel's count in nanoseconds.
    pub(super) fn processor_time(&self) -> Duration {
        let tasks = self.pid.and_then(|pid| std::fs::read_dir(format!("/proc/{pid}/task")).ok());
        let nanoseconds = tasks.into_iter().flatten().filter_map(|task| {
            let counts = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            counts.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    /// Since when the function has been at work.
    pub(super) fn busy_since(&self) -> Option<Instant> {
        self.api().in_flight.as_ref().filter(|_| !self.is_dead()).map(|pending| pending.since)
    }

    /// Whether the process has ended.
    pub(super) fn is_dead(&self) -> bool {
        *self.dead.borrow()
    }

    /// Waits until the process has ended.
    pub(super) async fn dead(&self) {
        // An error says that the watching task is gone, and with it the process.
        let _ = self.dead.clone().wait_for(|dead| *dead).await;
    }

    /// Kills the process and waits until it has ended; whether it was alive.
    pub(super) async fn kill(&self) -> bool {
        let alive = !self.is_dead();
        self.kill.notify_one();
        self.dead().await;
        alive
    }

    /// Waits until the process has ended, and kills it when asked to.
    async fn outlive(&self, mut child: Child) {
        tokio::select! {
            _ = child.wait() => (),
            () = self.kill.notified() => {
                // It fails only where the process has ended by itself.
                let _ = child.kill().await;
            }
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let Some(path) = head.uri.path().strip_prefix(API) else {
            return refuse(StatusCode::NOT_FOUND, "no such path");
        };
        if (&head.method, path) == (&Method::GET, "invocation/next") {
            return self.next().await;
        }
        let Ok(body) = body.collect().await else { return refuse(StatusCode::BAD_REQUEST, "the body broke off") };
        let body = body.to_bytes();
        let parts: Vec<_> = path.split('/').collect();
        match (head.method, &parts[..]) {
            (Method::POST, ["init", "error"]) => self.fail_init(&body),
            (Method::POST, ["invocation", id, "response"]) if body.len() > MAX_RESPONSE_BYTES => {
                let message = format!(
                    "Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes)."
                );
                let error = json!({"errorMessage": message, "errorType": "Function.ResponseSizeTooLarge"});
                match self.finish(id, Invocation::FunctionError(error)) {
                    true => refuse(StatusCode::PAYLOAD_TOO_LARGE, &message),
                    false => unknown(id),
                }
            }
            (Method::POST, ["invocation", id, "response"]) => accept(self.finish(id, read_response(&body)), id),
            (Method::POST, ["invocation", id, "error"]) => {
                accept(self.finish(id, Invocation::FunctionError(read_error(&body))), id)
            }
            (method, _) => refuse(StatusCode::NOT_FOUND, &format!("the runtime API has no {method} {path}")),
        }
    }

    /// Holds the request until there is a job.
    async fn next(&self) -> Response<Full<Bytes>> {
        let job = loop {
            let assigned = self.assigned.notified();
            let waiting = self.api().waiting.take();
            match waiting {
                Some(job) => break job,
                None => assigned.await,
            }
        };
        let id = request_id();
        let deadline = SystemTime::now() + job.timeout;
        let deadline = deadline.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let pending = PendingInvocation { request_id: id.clone(), since: Instant::now(), outcome: job.outcome };
        self.api().in_flight = Some(pending);
        // The caller is gone only where its thread has panicked.
        let _ = job.begun.send(());
        let trace = format!("Root=1-{:08x}-{:024x};Sampled=0", deadline / 1_000, fastrand::u128(..1 << 96));
        Response::builder()
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", id)
            .header("lambda-runtime-deadline-ms", deadline.to_string())
            .header("lambda-runtime-invoked-function-arn", &self.arn)
            .header("lambda-runtime-trace-id", trace)
            .body(Full::new(job.event))
            .expect("these headers are plain text")
    }

    /// Ends the job in flight; whether it had that id.
    fn finish(&self, request_id: &str, outcome: Invocation) -> bool {
        let pending = self.api().in_flight.take_if(|pending| pending.request_id == request_id);
        let known = pending.is_some();
        if let Some(pending) = pending {
            // The caller is gone only where its thread has panicked.
            let _ = pending.outcome.send(outcome);
        }
        known
    }

    /// The function could not be set up: the job that it was started for fails, and the instance is of no more use.
    fn fail_init(&self, body: &[u8]) -> Response<Full<Bytes>> {
        let mut api = self.api();
        api.failed = true;
        if let Some(job) = api.waiting.take() {
            // The caller is gone only where its thread has panicked.
            let _ = job.outcome.send(Invocation::FunctionError(read_error(body)));
        }
        self.kill.notify_one();
        accept(true, "")
    }
}

/// The command of an instance whose runtime API listens at `api`.
fn command(configuration: &Configuration, number: usize, api: &str) -> Command {
    let Configuration { name, bootstrap, task_root, memory_mb, environment, .. } = configuration;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(bootstrap).current_dir(task_root);
    command.env_clear().envs(["PATH", "HOME"].into_iter().filter_map(|name| Some((name, env::var_os(name)?))));
    command
        .env("AWS_LAMBDA_RUNTIME_API", api)
        .env("AWS_LAMBDA_FUNCTION_NAME", name)
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory_mb.to_string())
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}"))
        .env("AWS_LAMBDA_LOG_STREAM_NAME", format!("2026/01/01/[$LATEST]{number:032x}"))
        .env("LAMBDA_TASK_ROOT", task_root)
        .env("_HANDLER", "bootstrap")
        .env("AWS_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .envs(environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Serves the runtime API until it is aborted.
async fn serve(listener: TcpListener, instance: Arc<Instance>) {
    let mut connections = tokio::task::JoinSet::new();
    // Accepting fails where the machine is out of file descriptors; the instance then times out.
    while let Ok((stream, _)) = listener.accept().await {
        let instance = instance.clone();
        connections.spawn(async move {
            let answer = service_fn(|request| async { Ok::<_, Infallible>(instance.answer(request).await) });
            // A connection breaks off when the process dies, which is noticed elsewhere.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

fn accept(known: bool, request_id: &str) -> Response<Full<Bytes>> {
    match known {
        true => respond(StatusCode::ACCEPTED, json!({"status": "OK"})),
        false => unknown(request_id),
    }
}

fn unknown(request_id: &str) -> Response<Full<Bytes>> {
    refuse(StatusCode::BAD_REQUEST, &format!("there is no invocation {request_id} in flight"))
}

fn refuse(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    respond(status, json!({"errorMessage": message, "errorType": status.canonical_reason()}))
}

fn respond(status: StatusCode, body: Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.to_string().into()));
    *response.status_mut() = status;
    response
}

/// The function's answer. Lambda hands on any bytes; an event source mapping can't read what is no JSON.
fn read_response(body: &[u8]) -> Invocation {
    if body.is_empty() {
        return Invocation::Ok(Value::Null);
    }
    match serde_json::from_slice(body) {
        Ok(value) => Invocation::Ok(value),
        Err(error) => {
            let message = format!("the response is no JSON: {error}");
            Invocation::FunctionError(json!({"errorMessage": message, "errorType": "Runtime.InvalidResponse"}))
        }
    }
}

fn read_error(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| json!({"errorMessage": String::from_utf8_lossy(body)}))
}

/// A version 4 UUID, as Lambda's request ids are.
fn request_id() -> String {
    let bits = fastrand::u128(..);
    let (a, b, c) = ((bits >> 96) as u32, (bits >> 80) as u16, (bits >> 64) as u16 & 0xfff);
    let (d, e) = ((bits >> 48) as u16 & 0x3fff | 0x8000, bits as u64 & 0xffff_ffff_ffff);
    format!("{a:08x}-{b:04x}-4{c:03x}-{d:04x}-{e:012x}")
}
