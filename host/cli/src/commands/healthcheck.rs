//! `paceline healthcheck`: for container images, which have no other program to ask `/healthz` with.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::ConfigArgument;
use crate::Failure;

/// How long connecting and each read and write may take. A consumer answers from memory.
const PATIENCE: Duration = Duration::from_secs(3);

/// Of an answer, more is not read: its first line tells.
const ANSWER_BYTES: u64 = 64 << 10;

/// What `healthcheck` is told.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
}

/// Asks the consumer that serves at the address under `[serve]` in the configuration.
pub(crate) fn healthcheck(arguments: &Arguments) -> Result<(), Failure> {
    let listen = arguments.config.load()?.serve.listen;
    let listen = listen.ok_or("the configuration has no [serve] listen: there is nobody to ask")?;
    let address = reachable(listen);
    if address.port() == 0 {
        return Err("[serve] listen has port 0, which is another one each time: give it a port of its own".to_owned());
    }
    let (status, body) = ask(address).map_err(|error| format!("http://{address}/healthz: {error}"))?;
    match status {
        200 => Ok(()),
        _ => Err(format!("http://{address}/healthz answers {status}: {}", body.trim_end())),
    }
}

/// Where to reach what listens there: on every address means on this machine's own, too.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// The answer's status and body.
fn ask(address: SocketAddr) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // Of version 1.0, an answer ends with its connection.
    stream.write_all(format!("GET /healthz HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other("what answers there does not speak HTTP"))?;
    Ok((status, answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_asked_on_this_machine() {
        for (listen, asked) in
            [("0.0.0.0:9464", "127.0.0.1:9464"), ("[::]:9464", "[::1]:9464"), ("127.0.0.2:1", "127.0.0.2:1")]
        {
            assert_eq!(reachable(listen.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
