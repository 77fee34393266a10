//! `paceline healthcheck`: queries `/healthz` for container images that contain no HTTP client.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::setup::ConfigArgument;

/// Time-out of connecting, of each read and of each write. A consumer answers from memory.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Bytes of an answer that are read. Its first line matters most.
const ANSWER_BYTES: u64 = 64 << 10;

/// Arguments of `paceline healthcheck`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
}

/// Queries the consumer that serves at the address under `[serve]` in the configuration.
pub(crate) fn healthcheck(arguments: &Arguments) -> anyhow::Result<()> {
    let listen = arguments.config.load()?.serve.listen;
    let listen = listen.context("the configuration has no [serve] listen: no consumer serves its health")?;
    let address = reachable(listen);
    if address.port() == 0 {
        bail!("[serve] listen has port 0, which is a different port at each start: set a fixed port");
    }
    let (status, body) = query(address).with_context(|| format!("http://{address}/healthz"))?;
    match status {
        200 => Ok(()),
        _ => bail!("http://{address}/healthz: status {status}: {}", body.trim_end()),
    }
}

/// The address to connect to: a wildcard address includes the loopback address.
pub(crate) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Status and body of the answer.
fn query(address: SocketAddr) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // An answer to HTTP 1.0 ends with its connection.
    stream.write_all(format!("GET /healthz HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| code.parse().ok());
    let status =
        status.ok_or_else(|| std::io::Error::other("the answer is not HTTP: another program listens there"))?;
    Ok((status, answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcard_addresses_are_reached_by_loopback() {
        for (listen, reached) in
            [("0.0.0.0:9464", "127.0.0.1:9464"), ("[::]:9464", "[::1]:9464"), ("127.0.0.2:1", "127.0.0.2:1")]
        {
            assert_eq!(reachable(listen.parse().unwrap()), reached.parse().unwrap());
        }
    }
}
