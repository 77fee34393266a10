//! The alarms and the dashboard of the template.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::alarms::{self, Alarm, PAGE, Signal, Source};
use crate::list;
use crate::metric::{CloudWatch, Metric, Statistic};

/// The longest line.
const COLUMNS: usize = 118;

/// The resources of all alarms, in YAML.
pub fn alarms() -> String {
    let resources: Vec<String> = alarms::ALL.iter().map(alarm).collect();
    resources.join("\n")
}

fn alarm(alarm: &Alarm) -> String {
    let Alarm { id, anchor, remedy, signal, statistic, above, minutes: (of, all) } = alarm;
    let mut yaml = format!("  {id}Alarm:\n    Type: AWS::CloudWatch::Alarm\n    Properties:\n");
    yaml.push_str("      AlarmDescription: >-\n");
    for line in wrapped(&format!("{remedy} See {PAGE}#{anchor}")) {
        // Writing to a string can't fail.
        let _ = writeln!(yaml, "        {line}");
    }
    match signal {
        Signal::Of(source) => {
            metric(&mut yaml, 6, source);
            let _ = writeln!(yaml, "      Statistic: {}\n      Period: 60", statistic.as_str());
        }
        Signal::Expression(expression, sources) => {
            let sub = if expression.contains("${") { "!Sub " } else { "" };
            let _ = writeln!(yaml, "      Metrics:\n        - Id: watched\n          Expression: {sub}{expression}");
            for (id, source) in *sources {
                let _ = writeln!(yaml, "        - Id: {id}\n          ReturnData: false\n          MetricStat:");
                let _ = writeln!(yaml, "            Metric:");
                metric(&mut yaml, 14, source);
                let _ = writeln!(yaml, "            Period: 60\n            Stat: {}", statistic.as_str());
            }
        }
    }
    let _ = writeln!(yaml, "      EvaluationPeriods: {all}");
    if of != all {
        let _ = writeln!(yaml, "      DatapointsToAlarm: {of}");
    }
    let _ = writeln!(yaml, "      Threshold: {above}\n      ComparisonOperator: GreaterThanThreshold");
    yaml.push_str("      TreatMissingData: notBreaching\n");
    yaml.push_str("      AlarmActions: !If [HasTopic, [!Ref AlarmTopicArn], !Ref AWS::NoValue]\n");
    yaml
}

fn metric(yaml: &mut String, indent: usize, source: &Source) {
    let (namespace, name, dimensions) = match source {
        Source::Own(metric) => {
            let name = metric.cloudwatch.map_or("", |cloudwatch| cloudwatch.name);
            ("!Ref MetricsNamespace", name, &[("function", "!Ref Function")][..])
        }
        Source::Aws(aws) => (aws.namespace, aws.name, aws.dimensions),
    };
    let margin = " ".repeat(indent);
    let _ = writeln!(yaml, "{margin}Namespace: {namespace}\n{margin}MetricName: {name}\n{margin}Dimensions:");
    for (name, value) in dimensions {
        let _ = writeln!(yaml, "{margin}  - {{ Name: {name}, Value: {value} }}");
    }
}

/// The lines of a text within the columns of a description.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() + 8 <= COLUMNS => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The resource of the dashboard, in YAML. Its body is JSON, one widget a line.
pub fn dashboard() -> String {
    let mut yaml = "  Dashboard:\n    Type: AWS::CloudWatch::Dashboard\n    Properties:\n      DashboardName: !Ref \
                    AWS::StackName\n      DashboardBody: !Sub |\n        {\"widgets\": [\n"
        .to_owned();
    let widgets = widgets();
    for (at, widget) in widgets.iter().enumerate() {
        let comma = if at + 1 < widgets.len() { "," } else { "" };
        let _ = writeln!(yaml, "          {widget}{comma}");
    }
    yaml.push_str("        ]}\n");
    yaml
}

/// A chart: its title, and its metrics in CloudWatch's notation.
struct Chart {
    title: String,
    metrics: Vec<Value>,
    /// A limit, which a line shows.
    limit: Option<(&'static str, f64)>,
}

fn widgets() -> Vec<Value> {
    // A dashboard has 24 columns.
    const WIDTH: usize = 8;
    const HEIGHT: usize = 6;
    let mut widgets = Vec::new();
    let (mut column, mut row) = (0, 0);
    let mut section = |title: &str, charts: Vec<Chart>| {
        if column > 0 {
            (column, row) = (0, row + HEIGHT);
        }
        let text = json!({ "markdown": format!("## {title}") });
        widgets.push(json!({ "type": "text", "x": 0, "y": row, "width": 24, "height": 1, "properties": text }));
        row += 1;
        for chart in charts {
            let properties = properties(chart);
            widgets.push(json!({
                "type": "metric", "x": column, "y": row, "width": WIDTH, "height": HEIGHT, "properties": properties
            }));
            column += WIDTH;
            if column == 24 {
                (column, row) = (0, row + HEIGHT);
            }
        }
    };
    section("What AWS measures", aws_charts());
    for (title, metrics) in list::SECTIONS {
        let charts = metrics.iter().filter_map(|metric| Some(own_chart(metric, metric.cloudwatch?)));
        section(title, charts.collect());
    }
    widgets
}

fn properties(Chart { title, metrics, limit }: Chart) -> Value {
    let mut properties = json!({
        "title": title, "region": "${AWS::Region}", "period": 60, "view": "timeSeries", "metrics": metrics
    });
    if let Some((label, value)) = limit {
        properties["annotations"] = json!({ "horizontal": [{ "label": label, "value": value }] });
    }
    properties
}

fn own_chart(metric: &Metric, CloudWatch { name, statistic, dimensions, .. }: CloudWatch) -> Chart {
    let statistic = statistic.as_str();
    let metrics = dimensions.iter().map(|set| match set {
        [] => json!(["${MetricsNamespace}", name, "function", "${Function}", { "stat": statistic }]),
        set => {
            let schema = format!("${{MetricsNamespace}},function,{}", set.join(","));
            let search =
                format!("SEARCH('{{{schema}}} MetricName=\"{name}\" function=\"${{Function}}\"', '{statistic}')");
            json!([{ "expression": search }])
        }
    });
    Chart {
        title: format!("{name}: {}", first_clause(&metric.plain_meaning())),
        metrics: metrics.collect(),
        limit: None,
    }
}

fn first_clause(text: &str) -> &str {
    text.split([';', ':', '.']).next().unwrap_or_default()
}

fn aws_charts() -> Vec<Chart> {
    use Statistic::{Average, Maximum, Sum};
    let chart = |title: &str, of: &[(&str, &str, &[&str], Statistic)], limit| Chart {
        title: title.to_owned(),
        metrics: of
            .iter()
            .map(|(namespace, name, dimensions, statistic)| {
                let names = [*namespace, *name].into_iter().chain(dimensions.iter().copied());
                let names = names.map(Value::from).chain([json!({ "stat": statistic.as_str() })]);
                names.collect()
            })
            .collect(),
        limit,
    };
    let stream: &[&str] = &["StreamName", "${Stream}"];
    let function: &[&str] = &["FunctionName", "${Function}"];
    let mapping: &[&str] = &["EventSourceMappingUUID", "${FunctionStream}"];
    let table: &[&str] = &["TableName", "${Table}"];
    let index: &[&str] = &["TableName", "${Table}", "GlobalSecondaryIndexName", "GSI_Index"];
    let throttles = |cause| ("AWS/DynamoDB", cause, table, Sum);
    let index_throttles = |cause| ("AWS/DynamoDB", cause, index, Sum);
    vec![
        chart(
            "Records a minute, of all shards; a shard takes 60,000",
            &[("AWS/Kinesis", "IncomingRecords", stream, Sum)],
            Some(("one shard", 60_000.0)),
        ),
        chart(
            "Bytes a minute, of all shards; a shard takes 60 MB",
            &[("AWS/Kinesis", "IncomingBytes", stream, Sum)],
            Some(("one shard", 60.0 * 1_048_576.0)),
        ),
        chart(
            "Age of what is read, in milliseconds",
            &[
                ("AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", stream, Maximum),
                ("AWS/Lambda", "IteratorAge", function, Maximum),
            ],
            None,
        ),
        chart(
            "Duration of the function, in milliseconds",
            &[("AWS/Lambda", "Duration", function, Average), ("AWS/Lambda", "Duration", function, Maximum)],
            None,
        ),
        chart(
            "Invocations that run, failed and were refused",
            &[
                ("AWS/Lambda", "ConcurrentExecutions", function, Maximum),
                ("AWS/Lambda", "Errors", function, Sum),
                ("AWS/Lambda", "Throttles", function, Sum),
            ],
            None,
        ),
        chart(
            "Events of the mapping",
            &[
                ("AWS/Lambda", "PolledEventCount", mapping, Sum),
                ("AWS/Lambda", "InvokedEventCount", mapping, Sum),
                ("AWS/Lambda", "FailedInvokeEventCount", mapping, Sum),
                ("AWS/Lambda", "DroppedEventCount", mapping, Sum),
            ],
            None,
        ),
        chart(
            "Write units a minute; a partition key takes 60,000",
            &[
                ("AWS/DynamoDB", "ConsumedWriteCapacityUnits", table, Sum),
                ("AWS/DynamoDB", "ConsumedWriteCapacityUnits", index, Sum),
            ],
            Some(("one partition key", 60_000.0)),
        ),
        chart(
            "Throttled writes of the table, by cause",
            &[
                throttles("WriteKeyRangeThroughputThrottleEvents"),
                throttles("WriteProvisionedThroughputThrottleEvents"),
                throttles("WriteMaxOnDemandThroughputThrottleEvents"),
                throttles("WriteAccountLimitThrottleEvents"),
            ],
            None,
        ),
        chart(
            "Throttled writes of the index, by cause",
            &[
                index_throttles("WriteKeyRangeThroughputThrottleEvents"),
                index_throttles("WriteProvisionedThroughputThrottleEvents"),
                index_throttles("WriteMaxOnDemandThroughputThrottleEvents"),
                index_throttles("WriteAccountLimitThrottleEvents"),
            ],
            None,
        ),
    ]
}
