//! Requests to a server that a test has started, without a client library.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The time within which a server must respond. A test's machine may be busy.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Sends a GET to `HOST:PORT`; the status and the body.
///
/// # Errors
///
/// If the server can't be reached or its response is not HTTP.
pub fn get(address: &str, path: &str) -> std::io::Result<(u16, Vec<u8>)> {
    exchange(address, format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())
}

/// Sends a POST to `HOST:PORT`; the status and the body. The server must not respond in chunks.
///
/// # Errors
///
/// If the server can't be reached or its response is not HTTP.
pub fn post(address: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
    let mut request = format!("POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {}\r\n", body.len());
    headers.iter().for_each(|(name, value)| request.push_str(&format!("{name}: {value}\r\n")));
    request.push_str("\r\n");
    exchange(address, &[request.as_bytes(), body].concat())
}

fn exchange(address: &str, request: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(request)?;
    // In HTTP/1.0, a response ends with its connection.
    let mut response = Vec::new();
    stream.read_to_end(&mut response)?;
    let end = response.windows(4).position(|end| end == b"\r\n\r\n");
    let end = end.ok_or_else(|| std::io::Error::other("the response has no end of its headers"))?;
    let head = String::from_utf8_lossy(&response[..end]);
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other(format!("the response has no status: {head:?}")))?;
    Ok((status, response[end + 4..].to_vec()))
}
