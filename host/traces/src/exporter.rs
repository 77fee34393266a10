//! The thread that sends spans to the collector. A collector that is slow or out of reach costs traces, and delays no batch.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use crate::endpoint::Endpoint;
use crate::span::{BatchTrace, request};

/// Batches that wait to be sent. More are dropped.
const QUEUED: usize = 256;
/// Batches of one request.
const SENT_TOGETHER: usize = 64;
/// How long a batch waits for others.
const GATHERED_FOR: Duration = Duration::from_secs(1);
/// Time-out of connecting, and of each read and write.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The exporter can't be started.
#[derive(Debug, thiserror::Error)]
#[error("no thread can be started to send traces")]
pub struct ExporterError(#[source] io::Error);

/// Sends traces to a collector.
#[derive(Clone, Debug)]
pub struct Traces(SyncSender<Order>);

#[derive(Debug)]
enum Order {
    Send(Box<BatchTrace>),
    /// Send what there is, and answer.
    Flush(SyncSender<()>),
}

impl Traces {
    /// Starts the thread. It ends when the last handle is dropped. `service` is the name under which traces are found.
    pub fn start(endpoint: Endpoint, service: &str) -> Result<Self, ExporterError> {
        let (sender, orders) = sync_channel(QUEUED);
        let exporter = Exporter { endpoint, service: service.to_owned(), waiting: Vec::new(), failed: false };
        let thread = std::thread::Builder::new().name("paceline-traces".to_owned());
        thread.spawn(move || exporter.run(&orders)).map_err(ExporterError)?;
        Ok(Self(sender))
    }

    /// Sends a batch's spans soon. If too many wait already, they are dropped.
    pub fn send(&self, trace: BatchTrace) {
        if let Err(TrySendError::Full(_)) = self.0.try_send(Order::Send(Box::new(trace))) {
            tracing::debug!("the trace of a batch is dropped: too many wait for the collector");
        }
    }

    /// Sends what there is, and waits for it for at most this time. It blocks its thread.
    pub fn flush(&self, within: Duration) {
        let (answer, done) = sync_channel(1);
        if self.0.try_send(Order::Flush(answer)).is_ok() {
            // A collector that does not answer costs traces, and nothing else.
            let _ = done.recv_timeout(within);
        }
    }
}

struct Exporter {
    endpoint: Endpoint,
    service: String,
    waiting: Vec<BatchTrace>,
    /// Whether the last request failed: that is logged once.
    failed: bool,
}

impl Exporter {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut due: Option<Instant> = None;
        loop {
            let order = match due {
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => orders.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            match order {
                Ok(Order::Send(trace)) => {
                    self.waiting.push(*trace);
                    due.get_or_insert_with(|| Instant::now() + GATHERED_FOR);
                    if self.waiting.len() < SENT_TOGETHER {
                        continue;
                    }
                    self.post();
                }
                Ok(Order::Flush(answer)) => {
                    self.post();
                    // Who asked may not wait any more.
                    let _ = answer.try_send(());
                }
                Err(RecvTimeoutError::Timeout) => self.post(),
                Err(RecvTimeoutError::Disconnected) => return self.post(),
            }
            due = None;
        }
    }

    /// Sends what waits. What the collector does not take is lost.
    fn post(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return;
        }
        let (now, mut random) = ((Instant::now(), SystemTime::now()), fastrand::Rng::new());
        let spans = waiting.iter().flat_map(|trace| trace.spans(now, &mut random)).collect();
        let body = request(&self.service, spans).to_string();
        let sent = post(&self.endpoint, &body);
        if let (Err(error), false) = (&sent, self.failed) {
            tracing::warn!("traces are lost: the collector at http://{}: {error}", self.endpoint.authority);
        }
        self.failed = sent.is_err();
    }
}

fn post(Endpoint { authority, path }: &Endpoint, body: &str) -> io::Result<()> {
    let mut stream = Err(io::Error::other("the name has no address"));
    // `localhost` is often ::1 first, and collectors listen on 127.0.0.1.
    for address in authority.to_socket_addrs()? {
        stream = TcpStream::connect_timeout(&address, TIMEOUT);
        if stream.is_ok() {
            break;
        }
    }
    let mut stream = stream?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = [0; 64];
    let mut read = 0;
    // `HTTP/1.1 200`
    while read < 12 {
        match stream.read(&mut answer[read..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => read += more,
        }
    }
    let answer = String::from_utf8_lossy(&answer[..read]);
    match answer.split(' ').nth(1) {
        Some(status) if status.starts_with('2') => Ok(()),
        _ => Err(io::Error::other(format!("it answered {}", answer.lines().next().unwrap_or_default()))),
    }
}
