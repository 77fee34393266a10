//! Where the collector is.

use std::env::VarError;
use std::str::FromStr;

/// The path of traces at a collector.
const PATH: &str = "/v1/traces";
/// The port of OTLP over HTTP.
const PORT: u16 = 4318;

/// Where the collector is: `http://HOST:PORT/PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host and port.
    pub(crate) authority: String,
    /// The path of traces.
    pub(crate) path: String,
}

/// A text is no address of a collector.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not the address of a collector that speaks OTLP over HTTP, such as http://127.0.0.1:4318; https is not \
     supported: run a collector beside the host"
)]
pub struct NotAnEndpoint(String);

/// The base address of a collector: its path for traces is added.
impl FromStr for Endpoint {
    type Err = NotAnEndpoint;

    fn from_str(text: &str) -> Result<Self, NotAnEndpoint> {
        let full = Self::full(text)?;
        Ok(Self { path: format!("{}{PATH}", full.path.trim_end_matches('/')), ..full })
    }
}

impl Endpoint {
    /// The address for traces, as it is.
    pub fn full(text: &str) -> Result<Self, NotAnEndpoint> {
        let failed = || NotAnEndpoint(text.to_owned());
        let rest = text.trim().strip_prefix("http://").ok_or_else(failed)?;
        let (authority, path) =
            rest.split_once('/').map_or((rest, "/".to_owned()), |(host, path)| (host, format!("/{path}")));
        let is_clean = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if authority.is_empty() || authority.contains('@') || !is_clean(authority) || !is_clean(&path) {
            return Err(failed());
        }
        // The colons of an IPv6 address are in brackets.
        let has_port = authority.rsplit(']').next().is_some_and(|rest| rest.contains(':'));
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:{PORT}") };
        Ok(Self { authority, path })
    }

    /// The collector that OpenTelemetry's variables name, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` or
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`, else this one. `None` if there is none, or if `OTEL_SDK_DISABLED` is `true`.
    pub fn from_env_or(
        configured: Option<&str>,
        variable: impl Fn(&str) -> Result<String, VarError>,
    ) -> Result<Option<Self>, NotAnEndpoint> {
        let set = |name: &str| variable(name).ok().filter(|value| !value.trim().is_empty());
        if set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        if let Some(full) = set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
            return Self::full(&full).map(Some);
        }
        let base = set("OTEL_EXPORTER_OTLP_ENDPOINT").or_else(|| configured.map(str::to_owned));
        base.map(|base| base.parse()).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_a_port_and_the_path_of_traces() {
        for (text, authority, path) in [
            ("http://127.0.0.1:4318", "127.0.0.1:4318", "/v1/traces"),
            ("http://collector", "collector:4318", "/v1/traces"),
            ("http://[::1]/", "[::1]:4318", "/v1/traces"),
            ("http://[::1]:80/otlp/", "[::1]:80", "/otlp/v1/traces"),
        ] {
            let expected = Endpoint { authority: authority.to_owned(), path: path.to_owned() };
            assert_eq!(text.parse::<Endpoint>().unwrap(), expected, "{text}");
        }
        for text in [
            "",
            "127.0.0.1:4318",
            "https://collector:4318",
            "http://",
            "http://a b",
            "http://u:p@h",
            "http://h/\r\nx: y",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_variables_of_opentelemetry_go_before_the_configuration() {
        let endpoint = |variables: &[(&str, &str)], configured: Option<&str>| {
            let find =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            let endpoint = Endpoint::from_env_or(configured, |name| find(name).ok_or(VarError::NotPresent)).unwrap();
            endpoint.map(|endpoint| format!("{}{}", endpoint.authority, endpoint.path))
        };
        let (base, traces) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        assert_eq!(endpoint(&[], None), None);
        assert_eq!(endpoint(&[], Some("http://file:1")).as_deref(), Some("file:1/v1/traces"));
        assert_eq!(endpoint(&[(base, "")], Some("http://file:1")).as_deref(), Some("file:1/v1/traces"));
        assert_eq!(endpoint(&[(base, "http://base:1")], Some("http://file:1")).as_deref(), Some("base:1/v1/traces"));
        let both = [(base, "http://base:1"), (traces, "http://traces:1/own")];
        assert_eq!(endpoint(&both, None).as_deref(), Some("traces:1/own"));
        assert_eq!(endpoint(&[(base, "http://base:1"), ("OTEL_SDK_DISABLED", "true")], Some("http://file:1")), None);
    }
}
