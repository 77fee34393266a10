//! A dashboard for Grafana, which reads `/metrics` through Prometheus.

use serde_json::{Value, json};

use crate::list;
use crate::metric::{Kind, Metric, Unit};

/// The columns of a dashboard, and of a panel.
const COLUMNS: u32 = 24;
const WIDTH: u32 = 8;
const HEIGHT: u32 = 7;

/// The dashboard as JSON: a row for each section of the list, and a panel for each metric.
pub fn grafana() -> String {
    let mut panels = Vec::new();
    let (mut id, mut y) = (0, 0);
    for (title, metrics) in list::SECTIONS {
        let shown: Vec<(&str, &Metric)> =
            metrics.iter().filter_map(|metric| Some((metric.prometheus?, *metric))).collect();
        if shown.is_empty() {
            continue;
        }
        id += 1;
        let place = json!({ "x": 0, "y": y, "w": COLUMNS, "h": 1 });
        panels.push(json!({
            "id": id, "type": "row", "title": title, "collapsed": false, "gridPos": place, "panels": []
        }));
        y += 1;
        for (at, (name, metric)) in (0_u32..).zip(&shown) {
            id += 1;
            let per_row = COLUMNS / WIDTH;
            let place = json!({ "x": at % per_row * WIDTH, "y": y + at / per_row * HEIGHT, "w": WIDTH, "h": HEIGHT });
            panels.push(panel(id, name, metric, place));
        }
        y += (shown.len() as u32).div_ceil(COLUMNS / WIDTH) * HEIGHT;
    }
    let source = json!({ "name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus" });
    let job = json!({
        "name": "job", "type": "query", "label": "job", "datasource": source_of_panels(), "includeAll": true,
        "multi": true, "query": "label_values(paceline_records_total, job)", "refresh": 2
    });
    let dashboard = json!({
        "uid": "paceline", "title": "paceline", "tags": ["paceline"], "timezone": "utc", "schemaVersion": 39,
        "refresh": "10s", "time": { "from": "now-1h", "to": "now" }, "templating": { "list": [source, job] },
        "panels": panels
    });
    let text = serde_json::to_string_pretty(&dashboard).expect("a dashboard has only types that JSON has");
    text + "\n"
}

fn source_of_panels() -> Value {
    json!({ "type": "prometheus", "uid": "${source}" })
}

fn panel(id: u32, name: &str, metric: &Metric, place: Value) -> Value {
    let labels = metric.labels.join(", ");
    let legend = metric.labels.iter().map(|label| format!("{{{{{label}}}}}")).collect::<Vec<_>>().join(" ");
    let target = |expression: String, legend: &str, reference: &str| {
        json!({
            "datasource": source_of_panels(), "refId": reference, "expr": expression,
            "legendFormat": if legend.is_empty() { "all" } else { legend }
        })
    };
    let by = if labels.is_empty() { String::new() } else { format!(" by ({labels})") };
    let (targets, what) = match metric.kind {
        Kind::Counter => {
            let rate = format!("sum{by} (rate({name}{{job=~\"$job\"}}[$__rate_interval]))");
            (vec![target(rate, &legend, "A")], "a second")
        }
        Kind::Gauge => (vec![target(format!("max{by} ({name}{{job=~\"$job\"}})"), &legend, "A")], ""),
        Kind::Histogram(_) => {
            let quantile = |share: &str, reference: &str| {
                let rate = format!("rate({name}_bucket{{job=~\"$job\"}}[$__rate_interval])");
                let expression = format!("histogram_quantile({share}, sum by (le) ({rate}))");
                target(expression, &format!("quantile {share}"), reference)
            };
            (vec![quantile("0.5", "A"), quantile("0.99", "B")], "")
        }
    };
    let unit = match (metric.kind, metric.unit) {
        (Kind::Counter, Unit::Bytes) => "Bps",
        (Kind::Counter, Unit::Seconds) => "percentunit",
        (_, unit) => unit.grafana(),
    };
    let title = format!("{} {what}", name.trim_start_matches("paceline_").trim_end_matches("_total"));
    json!({
        "id": id, "type": "timeseries", "title": title.trim_end(), "gridPos": place, "datasource": source_of_panels(),
        "description": format!("{}. Healthy: {}.", metric.plain_meaning(), metric.healthy),
        "fieldConfig": { "defaults": { "unit": unit, "min": 0 }, "overrides": [] }, "targets": targets
    })
}
