//! Where the collector of traces is.

use std::env::VarError;

use http::Uri;

/// The path of traces at a collector.
const PATH: &str = "/v1/traces";

/// A text is no address of a collector.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not the address of a collector that speaks OTLP over HTTP, such as http://127.0.0.1:4318 or \
     https://collector.example.com"
)]
pub struct NotACollector(String);

/// The address for traces of the collector that OpenTelemetry's variables name, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` as
/// it is, or `OTEL_EXPORTER_OTLP_ENDPOINT`, else of the configured one. `None` if there is none, or if
/// `OTEL_SDK_DISABLED` is `true`.
pub(crate) fn traces_url(
    configured: Option<&str>,
    variable: impl Fn(&str) -> Result<String, VarError>,
) -> Result<Option<String>, NotACollector> {
    let set = |name: &str| variable(name).ok().filter(|value| !value.trim().is_empty());
    if set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    if let Some(full) = set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
        return checked(full.trim()).map(Some);
    }
    let base = set("OTEL_EXPORTER_OTLP_ENDPOINT").or_else(|| configured.map(str::to_owned));
    let full = |base: String| checked(&format!("{}{PATH}", base.trim().trim_end_matches('/')));
    base.map(full).transpose()
}

/// A password in an address would be shown in logs: headers are for that.
fn checked(url: &str) -> Result<String, NotACollector> {
    let is_sound = |uri: &Uri| {
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        matches!(uri.scheme_str(), Some("http" | "https")) && authority.is_some_and(|known| !known.host().is_empty())
    };
    match url.parse::<Uri>() {
        Ok(uri) if is_sound(&uri) => Ok(url.to_owned()),
        _ => Err(NotACollector(url.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(variables: &[(&str, &str)], configured: Option<&str>) -> Result<Option<String>, NotACollector> {
        let find =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        traces_url(configured, |name| find(name).ok_or(VarError::NotPresent))
    }

    #[test]
    fn a_base_address_gets_the_path_of_traces() {
        for (base, full) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://collector.example.com/", "https://collector.example.com/v1/traces"),
            ("http://[::1]:80/otlp/", "http://[::1]:80/otlp/v1/traces"),
        ] {
            assert_eq!(url(&[], Some(base)).unwrap().as_deref(), Some(full), "{base}");
        }
        for base in ["", "127.0.0.1:4318", "ftp://h", "http://", "http://a b", "http://u:p@h", "http://h/\r\nx: y"] {
            assert!(url(&[], Some(base)).is_err(), "{base}");
        }
    }

    #[test]
    fn the_variables_of_opentelemetry_go_before_the_configuration() {
        let found = |variables: &[(&str, &str)], configured| url(variables, configured).unwrap();
        let (base, traces) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        assert_eq!(found(&[], None), None);
        assert_eq!(found(&[(base, "")], Some("http://file:1")).as_deref(), Some("http://file:1/v1/traces"));
        assert_eq!(
            found(&[(base, "http://base:1")], Some("http://file:1")).as_deref(),
            Some("http://base:1/v1/traces")
        );
        let both = [(base, "http://base:1"), (traces, "http://traces:1/own")];
        assert_eq!(found(&both, None).as_deref(), Some("http://traces:1/own"));
        assert_eq!(found(&[(base, "http://base:1"), ("OTEL_SDK_DISABLED", "true")], Some("http://file:1")), None);
    }
}
