//! A running host's `/metrics`.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use paceline_aws::sdk::connector;
use paceline_doctor::Timestamp;
use paceline_doctor::history::{Metric, Namespace, Point, Series, Statistic, Unavailable};
use paceline_pipeline::ErrorChain;
use tokio::time::timeout;

/// A host answers from memory.
const TIMEOUT: Duration = Duration::from_secs(3);

/// One sample of the text format.
#[derive(Clone, Debug, PartialEq)]
pub struct Exposition {
    /// The metric's name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// Reads the metrics of the host at `address`, such as `127.0.0.1:9464`, each as a series of one point at `now`.
pub(crate) async fn read(address: &str, now: Timestamp) -> Result<Vec<Series>, Unavailable> {
    let failed = |reason: String| Unavailable {
        what: format!("metrics of host {address}"),
        permission: None,
        reason,
        by_limit: false,
    };
    let url = match address.contains("://") {
        true => format!("{}/metrics", address.trim_end_matches('/')),
        false => format!("http://{address}/metrics"),
    };
    let mut request = HttpRequest::new(SdkBody::empty());
    request.set_uri(url.as_str()).map_err(|error| failed(format!("`{address}` is not an address: {error}")))?;
    let response = timeout(TIMEOUT, connector(TIMEOUT).call(request)).await;
    let late = || failed(format!("{url} did not answer in {} s", TIMEOUT.as_secs()));
    let response = response.map_err(|_| late())?;
    let response = response.map_err(|error| failed(format!("{url}: {}", ErrorChain(&error))))?;
    if response.status().as_u16() != 200 {
        return Err(failed(format!("{url} answered with status {}", response.status().as_u16())));
    }
    let body = timeout(TIMEOUT, ByteStream::new(response.into_body()).collect()).await.map_err(|_| late())?;
    let body = body.map_err(|error| failed(format!("{url}: {}", ErrorChain(&error))))?.into_bytes();
    let samples = parse_exposition(&String::from_utf8_lossy(&body));
    if samples.is_empty() {
        return Err(failed(format!("{url} has no metrics of paceline: another program listens there")));
    }
    // Nothing is examined by the buckets of histograms, which are half of all samples.
    let samples = samples.into_iter().filter(|sample| !sample.name.ends_with("_bucket"));
    Ok(samples.map(|sample| series(sample, address, now)).collect())
}

fn series(sample: Exposition, address: &str, now: Timestamp) -> Series {
    let mut dimensions = sample.labels;
    dimensions.insert("host".to_owned(), address.to_owned());
    Series {
        metric: Metric { namespace: Namespace::Host, name: sample.name },
        dimensions,
        statistic: Statistic::Value,
        period_seconds: 0.0,
        points: vec![Point(now, sample.value)],
    }
}

/// The samples of paceline in Prometheus's text format. Lines that cannot be read are left out.
#[must_use]
pub fn parse_exposition(text: &str) -> Vec<Exposition> {
    text.lines().filter(|line| line.starts_with("paceline_")).filter_map(sample).collect()
}

fn sample(line: &str) -> Option<Exposition> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Exposition { name: name.to_owned(), labels, value })
}

/// The labels up to their brace, and what follows.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, after) = rest.split_once("=\"")?;
        let (mut value, mut escaped, mut end) = (String::new(), false, None);
        for (index, character) in after.char_indices() {
            match (escaped, character) {
                (true, 'n') => value.push('\n'),
                (true, character) => value.push(character),
                (false, '\\') => {}
                (false, '"') => {
                    end = Some(index + 1);
                    break;
                }
                (false, character) => value.push(character),
            }
            escaped = !escaped && character == '\\';
        }
        rest = &after[end?..];
        labels.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_their_labels() {
        let text = "# HELP paceline_x y\npaceline_x{shard=\"a,}\\\"b\\\\\",state=\"\"} 1.5\npaceline_y_total 3 17\nother 1\n\
                    paceline_broken{a=\"b\n";
        let read = parse_exposition(text);
        assert_eq!(read.len(), 2, "{read:?}");
        assert_eq!((read[0].name.as_str(), read[0].value), ("paceline_x", 1.5));
        assert_eq!(read[0].labels["shard"], "a,}\"b\\");
        assert_eq!(read[0].labels["state"], "");
        assert_eq!((read[1].name.as_str(), read[1].value), ("paceline_y_total", 3.0));
    }
}
