//! A collector of traces: it takes OTLP over HTTP in Protocol Buffers, and keeps the spans as OTLP's JSON.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use serde_json::Value;

/// Requests that wait for the test. A sender waits for its turn.
const REQUESTS: usize = 1_024;

/// A collector. Its thread ends with the process.
#[derive(Debug)]
pub struct Collector {
    address: String,
    requests: Receiver<Value>,
    spans: Vec<Value>,
}

impl Collector {
    /// Starts a collector on a free port.
    ///
    /// # Panics
    ///
    /// If it can't listen.
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// A collector that takes only requests with this header, and refuses others with the status 401.
    ///
    /// # Panics
    ///
    /// As [`Collector::start`].
    pub fn start_requiring(name: &'static str, value: &'static str) -> Self {
        Self::start_with(Some((name, value)))
    }

    fn start_with(required: Option<(&'static str, &'static str)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a listener has an address").to_string();
        let (sender, requests) = sync_channel(REQUESTS);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if let Ok(request) = take(stream, required)
                    && sender.send(request).is_err()
                {
                    return;
                }
            }
        });
        Self { address, requests, spans: Vec::new() }
    }

    /// The base address, for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until the spans are enough, and returns all of them. Each has the name of its service as `service`.
    ///
    /// # Panics
    ///
    /// If that takes more than two minutes.
    pub fn wait_for(&mut self, enough: impl Fn(&[Value]) -> bool) -> &[Value] {
        let deadline = Instant::now() + Duration::from_secs(120);
        while !enough(&self.spans) {
            let left = deadline.saturating_duration_since(Instant::now());
            let request = self.requests.recv_timeout(left);
            let request = request.unwrap_or_else(|_| panic!("too few spans: {:#?}", self.spans));
            for of_service in request["resourceSpans"].as_array().expect("spans by resource") {
                let attributes = of_service["resource"]["attributes"].as_array().expect("attributes");
                let service = attributes.iter().find(|attribute| attribute["key"] == "service.name");
                let service = &service.expect("the name of the service")["value"]["stringValue"];
                let scopes = of_service["scopeSpans"].as_array().expect("spans by scope");
                for span in scopes.iter().flat_map(|scope| scope["spans"].as_array().expect("spans")) {
                    let mut span = span.clone();
                    span["service"] = service.clone();
                    self.spans.push(span);
                }
            }
        }
        &self.spans
    }
}

/// Takes one request and answers it.
fn take(stream: TcpStream, required: Option<(&str, &str)>) -> std::io::Result<Value> {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length, mut is_allowed) = (String::new(), 0, required.is_none());
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap_or(0);
        }
        is_allowed |= required.is_some_and(|(key, needed)| name.eq_ignore_ascii_case(key) && value.trim() == needed);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut stream = reader.into_inner();
    let (status, taken) = match first.starts_with("POST /v1/traces ") {
        false => ("404 Not Found", Err(std::io::Error::other(first))),
        true if !is_allowed => ("401 Unauthorized", Err(std::io::Error::other("a header is missing"))),
        true => ("200 OK", ExportTraceServiceRequest::decode(&*body).map_err(std::io::Error::other)),
    };
    // An empty body is an empty message.
    stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes())?;
    taken.and_then(|request| serde_json::to_value(request).map_err(std::io::Error::other))
}
