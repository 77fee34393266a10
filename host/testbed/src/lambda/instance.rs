//! One instance of a function: its process, and the runtime API that it uses.

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

use super::configuration::{ACCOUNT, Configuration, Deadline, REGION};
use super::invocation::{Invocation, MAX_RESPONSE_BYTES};
use super::logs::Logs;

/// The prefix of the runtime API's paths.
const API: &str = "/2018-06-01/runtime/";

/// The header with an invocation's deadline.
const DEADLINE: &str = "lambda-runtime-deadline-ms";

/// An event for the instance.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) event: Bytes,
    pub(super) timeout: Duration,
    /// Notified when the function takes the event.
    pub(super) started: oneshot::Sender<()>,
    pub(super) outcome: oneshot::Sender<Invocation>,
}

#[derive(Debug)]
pub(super) struct Instance {
    arn: String,
    deadline: Deadline,
    pid: Option<u32>,
    api: Mutex<RuntimeApi>,
    /// Notified by an assignment.
    assigned: Notify,
    /// Notified to kill the process.
    kill: Notify,
    /// Whether the process has ended.
    dead: watch::Receiver<bool>,
}

/// The state of the runtime API.
#[derive(Debug, Default)]
struct RuntimeApi {
    /// A caller has reserved the instance.
    reserved: bool,
    /// The function reported an initialization error; the instance is about to be killed.
    failed: bool,
    /// The function has not asked for it yet.
    waiting: Option<Assignment>,
    /// The function has taken it and not responded yet.
    in_flight: Option<PendingInvocation>,
}

#[derive(Debug)]
struct PendingInvocation {
    request_id: String,
    since: Instant,
    outcome: oneshot::Sender<Invocation>,
}

impl Instance {
    /// Starts a process that the caller has reserved. The process dies with the thread that this runs on.
    pub(super) async fn start(configuration: &Configuration, number: usize, logs: Arc<Logs>) -> io::Result<Arc<Self>> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let mut child = command(configuration, number, &listener.local_addr()?.to_string()).spawn()?;
        let (stdout, stderr) =
            (child.stdout.take().expect("a piped stdout"), child.stderr.take().expect("a piped stderr"));
        let stderr_logs = logs.clone();
        tokio::spawn(async move { logs.collect(stdout).await });
        tokio::spawn(async move { stderr_logs.collect(stderr).await });
        let (died, dead) = watch::channel(false);
        let instance = Arc::new(Self {
            arn: format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{}", configuration.name),
            deadline: configuration.deadline.clone(),
            pid: child.id(),
            api: Mutex::new(RuntimeApi { reserved: true, ..RuntimeApi::default() }),
            assigned: Notify::new(),
            kill: Notify::new(),
            dead,
        });
        let server = tokio::spawn(serve(listener, instance.clone()));
        let watched = instance.clone();
        tokio::spawn(async move {
            watched.wait_for_exit(child).await;
            server.abort();
            // It can't fail: the instance itself holds a receiver.
            let _ = died.send(true);
        });
        Ok(instance)
    }

    fn api(&self) -> MutexGuard<'_, RuntimeApi> {
        self.api.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves the instance; whether it was idle and alive.
    pub(super) fn reserve(&self) -> bool {
        let mut api = self.api();
        let free = !api.reserved && !self.is_dead();
        api.reserved |= free;
        free
    }

    /// Ends the reservation, unless the initialization failed.
    pub(super) fn free(&self) {
        let mut api = self.api();
        api.reserved = api.failed;
    }

    /// Assigns an event: the function gets it when it next asks for one.
    pub(super) fn assign(&self, assignment: Assignment) {
        self.api().waiting = Some(assignment);
        self.assigned.notify_one();
    }

    /// The processor time of its threads, which the kernel counts in nanoseconds.
    pub(super) fn processor_time(&self) -> Duration {
        let tasks = self.pid.and_then(|pid| std::fs::read_dir(format!("/proc/{pid}/task")).ok());
        let nanoseconds = tasks.into_iter().flatten().filter_map(|task| {
            let counts = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            counts.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    /// The time at which the function took the event in flight.
    pub(super) fn busy_since(&self) -> Option<Instant> {
        self.api().in_flight.as_ref().filter(|_| !self.is_dead()).map(|pending| pending.since)
    }

    pub(super) fn is_dead(&self) -> bool {
        *self.dead.borrow()
    }

    /// Waits until the process has ended.
    pub(super) async fn dead(&self) {
        // It fails only if the task that waits for the process is gone, and the process with it.
        let _ = self.dead.clone().wait_for(|dead| *dead).await;
    }

    /// Kills the process and waits for its end; whether it was alive.
    pub(super) async fn kill(&self) -> bool {
        let alive = !self.is_dead();
        self.kill.notify_one();
        self.dead().await;
        alive
    }

    /// Waits until the process has ended, or kills it when notified.
    async fn wait_for_exit(&self, mut child: Child) {
        tokio::select! {
            _ = child.wait() => (),
            () = self.kill.notified() => {
                // It fails only if the process has ended by itself.
                let _ = child.kill().await;
            }
        }
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let Some(path) = head.uri.path().strip_prefix(API) else {
            return error_response(StatusCode::NOT_FOUND, "the runtime API has no such path");
        };
        if (&head.method, path) == (&Method::GET, "invocation/next") {
            return self.next().await;
        }
        let Ok(body) = body.collect().await else {
            return error_response(StatusCode::BAD_REQUEST, "the body is incomplete");
        };
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
                    true => error_response(StatusCode::PAYLOAD_TOO_LARGE, &message),
                    false => unknown_invocation(id),
                }
            }
            (Method::POST, ["invocation", id, "response"]) => accepted(self.finish(id, parse_response(&body)), id),
            (Method::POST, ["invocation", id, "error"]) => {
                accepted(self.finish(id, Invocation::FunctionError(parse_error(&body))), id)
            }
            (method, _) => error_response(StatusCode::NOT_FOUND, &format!("the runtime API has no {method} {path}")),
        }
    }

    /// Blocks the request until there is an assignment.
    async fn next(&self) -> Response<Full<Bytes>> {
        let assignment = loop {
            let assigned = self.assigned.notified();
            let waiting = self.api().waiting.take();
            match waiting {
                Some(assignment) => break assignment,
                None => assigned.await,
            }
        };
        let id = request_id();
        let deadline = SystemTime::now() + assignment.timeout;
        let deadline = deadline.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let pending = PendingInvocation { request_id: id.clone(), since: Instant::now(), outcome: assignment.outcome };
        self.api().in_flight = Some(pending);
        // The receiver is gone only if the caller's thread has panicked.
        let _ = assignment.started.send(());
        let trace = format!("Root=1-{:08x}-{:024x};Sampled=0", deadline / 1_000, fastrand::u128(..1 << 96));
        let mut response = Response::builder();
        match &self.deadline {
            Deadline::OfTimeout => response = response.header(DEADLINE, deadline.to_string()),
            Deadline::Text(text) => response = response.header(DEADLINE, text),
            Deadline::Missing => {}
        }
        response
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", id)
            .header("lambda-runtime-invoked-function-arn", &self.arn)
            .header("lambda-runtime-trace-id", trace)
            .body(Full::new(assignment.event))
            .expect("headers of plain text")
    }

    /// Finishes the invocation in flight; whether it has this id.
    fn finish(&self, request_id: &str, outcome: Invocation) -> bool {
        let pending = self.api().in_flight.take_if(|pending| pending.request_id == request_id);
        let known = pending.is_some();
        if let Some(pending) = pending {
            // The receiver is gone only if the caller's thread has panicked.
            let _ = pending.outcome.send(outcome);
        }
        known
    }

    /// The function failed to initialize: its invocation fails, and the instance is killed.
    fn fail_init(&self, body: &[u8]) -> Response<Full<Bytes>> {
        let mut api = self.api();
        api.failed = true;
        if let Some(assignment) = api.waiting.take() {
            // The receiver is gone only if the caller's thread has panicked.
            let _ = assignment.outcome.send(Invocation::FunctionError(parse_error(body)));
        }
        self.kill.notify_one();
        accepted(true, "")
    }
}

/// The command that starts an instance whose runtime API listens at `api`.
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
    // Accepting fails if no file descriptor is free; the instance then times out.
    while let Ok((stream, _)) = listener.accept().await {
        let instance = instance.clone();
        connections.spawn(async move {
            let service = service_fn(|request| async { Ok::<_, Infallible>(instance.respond(request).await) });
            // A connection breaks when the process dies, which `wait_for_exit` handles.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn accepted(known: bool, request_id: &str) -> Response<Full<Bytes>> {
    match known {
        true => json_response(StatusCode::ACCEPTED, json!({"status": "OK"})),
        false => unknown_invocation(request_id),
    }
}

fn unknown_invocation(request_id: &str) -> Response<Full<Bytes>> {
    error_response(StatusCode::BAD_REQUEST, &format!("no invocation {request_id} is in flight"))
}

fn error_response(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    json_response(status, json!({"errorMessage": message, "errorType": status.canonical_reason()}))
}

fn json_response(status: StatusCode, body: Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.to_string().into()));
    *response.status_mut() = status;
    response
}

/// The function's response. Lambda returns any bytes; an event source mapping needs JSON.
fn parse_response(body: &[u8]) -> Invocation {
    if body.is_empty() {
        return Invocation::Ok(Value::Null);
    }
    match serde_json::from_slice(body) {
        Ok(value) => Invocation::Ok(value),
        Err(error) => {
            let message = format!("the response is not JSON: {error}");
            Invocation::FunctionError(json!({"errorMessage": message, "errorType": "Runtime.InvalidResponse"}))
        }
    }
}

fn parse_error(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| json!({"errorMessage": String::from_utf8_lossy(body)}))
}

/// A version 4 UUID, as Lambda's request ids are.
fn request_id() -> String {
    let bits = fastrand::u128(..);
    let (a, b, c) = ((bits >> 96) as u32, (bits >> 80) as u16, (bits >> 64) as u16 & 0xfff);
    let (d, e) = ((bits >> 48) as u16 & 0x3fff | 0x8000, bits as u64 & 0xffff_ffff_ffff);
    format!("{a:08x}-{b:04x}-4{c:03x}-{d:04x}-{e:012x}")
}
