//! What keeps others out: the headers of every response, and the check of the host that a request names.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};

/// No inline script or style, no other origin, no form, no frame.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Under which names the dashboard answers.
///
/// A page of another origin can let its own name resolve to 127.0.0.1 and read what answers there (DNS rebinding). Its
/// requests name the page's host. So a dashboard that listens on loopback answers only to names of loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// Under any name.
    Any,
    /// As `localhost` and loopback addresses with any port, and under these names.
    Loopback(Vec<String>),
}

impl Hosts {
    /// The names for what listens on this address.
    #[must_use]
    pub fn of(address: SocketAddr) -> Self {
        if address.ip().is_loopback() { Self::Loopback(Vec::new()) } else { Self::Any }
    }

    /// Whether a request that names this host is answered. `host` is the header's value.
    pub(crate) fn allow(&self, host: Option<&str>) -> bool {
        let Self::Loopback(names) = self else { return true };
        let Some(host) = host else { return false };
        let name = without_port(host);
        let is_loopback = name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        is_loopback
            || name.eq_ignore_ascii_case("localhost")
            || names.iter().any(|other| name.eq_ignore_ascii_case(other))
    }
}

/// The host of `host:port`, `[address]:port` or `host`.
fn without_port(host: &str) -> &str {
    if let Some((address, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address;
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

/// Adds the headers of every response.
pub(crate) fn harden(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_answers_to_its_names_only() {
        let hosts = Hosts::of("127.0.0.1:9000".parse().unwrap());
        let good = ["localhost", "LocalHost:9000", "127.0.0.1", "127.0.0.2:80", "[::1]:9000", "[::1]"];
        assert!(good.iter().all(|host| hosts.allow(Some(host))));
        let bad = ["evil.example", "localhost.evil.example:9000", "10.0.0.1", "[::2]:1", "127.0.0.1.evil.example", ""];
        assert!(bad.iter().all(|host| !hosts.allow(Some(host))));
        assert!(!hosts.allow(None));
        assert!(Hosts::Loopback(vec!["dash.example".to_owned()]).allow(Some("dash.example:443")));
    }

    #[test]
    fn another_address_answers_to_any_name() {
        assert!(Hosts::of("10.0.0.1:9000".parse().unwrap()).allow(Some("dash.example")));
    }
}
