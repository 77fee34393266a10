//! A client that sends one request by the letter and reads the response.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// No response takes as long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A response.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// The response to a GET of this path.
pub(crate) fn get(address: SocketAddr, path: &str) -> Reply {
    send(address, "GET", path, &address.to_string())
}

/// The response to a request under this host.
pub(crate) fn send(address: SocketAddr, method: &str, path: &str, host: &str) -> Reply {
    let (status, headers, mut reader) = open(address, method, path, host);
    let mut body = String::new();
    reader.read_to_string(&mut body).unwrap();
    Reply { status, headers, body }
}

/// Status and headers of a response, and the reader of its body.
pub(crate) fn open(
    address: SocketAddr,
    method: &str,
    path: &str,
    host: &str,
) -> (u16, BTreeMap<String, String>, BufReader<TcpStream>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let status = line().split(' ').nth(1).unwrap().parse().unwrap();
    let lines: Vec<String> = std::iter::from_fn(|| Some(line()).filter(|line| !line.is_empty())).collect();
    let headers = lines.iter().filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    (status, headers, reader)
}

/// The next event of a stream that is open: its data as JSON.
pub(crate) fn next_event(reader: &mut BufReader<TcpStream>) -> serde_json::Value {
    loop {
        let mut line = String::new();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0, "the stream has ended");
        if let Some(data) = line.strip_prefix("data: ") {
            return serde_json::from_str(data).unwrap();
        }
    }
}
