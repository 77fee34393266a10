//! Metrics of CloudWatch.

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{Dimension, Metric as SdkMetric, MetricDataQuery, MetricStat};
use aws_smithy_types::DateTime;
use paceline_doctor::Timestamp;
use paceline_doctor::history::{Metric, Namespace, Point, Series, Statistic};

use crate::failure::Failure;
use crate::metric_list::Wanted;

/// Queries of one request.
const QUERIES: usize = 500;
/// The metrics of the function's own namespace that are read at most: those of many plugins and rulebooks cost.
const OWN_METRICS: usize = 200;
/// Points of one series at most; a longer span has a longer period. CloudWatch answers 100,800 points a page.
const POINTS: u64 = 720;
/// The shortest period of these metrics, in seconds.
const MINUTE: u64 = 60;
const DAY: u64 = 24 * 3600;

/// Of which time the metrics are, and where those of the function are.
pub(crate) struct Span<'a> {
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) namespace: Option<&'a str>,
}

impl Span<'_> {
    /// Seconds between two points: a multiple of a minute, and of what CloudWatch keeps of old values.
    fn period(&self) -> u64 {
        let seconds = self.until.since(self.since).as_secs();
        let kept = match seconds / DAY {
            0..15 => MINUTE,
            15..63 => 5 * MINUTE,
            _ => 60 * MINUTE,
        };
        seconds.div_ceil(POINTS).div_ceil(kept).max(1) * kept
    }

    /// The end of the last period that is over: of a running one there are only some values.
    fn end_ms(&self) -> u64 {
        let period = self.period() * 1_000;
        self.until.0 / period * period
    }

    fn name(&self, namespace: Namespace) -> &str {
        match namespace {
            Namespace::Kinesis => "AWS/Kinesis",
            Namespace::Lambda => "AWS/Lambda",
            Namespace::Dynamodb => "AWS/DynamoDB",
            Namespace::Sqs => "AWS/SQS",
            Namespace::Function | Namespace::Host => self.namespace.unwrap_or("paceline"),
        }
    }
}

/// The function's own metrics, with all of their dimensions.
///
/// Those of single plugins are left out. Returns whether there are more than are read.
pub(crate) async fn own(client: &Client, function: &str, namespace: &str) -> Result<(Vec<Wanted>, bool), Failure> {
    let failed = |error| Failure::new("listing the function's metrics", "cloudwatch:ListMetrics", error);
    let filter = aws_sdk_cloudwatch::types::DimensionFilter::builder().name("function").value(function).build();
    let mut pages = client.list_metrics().namespace(namespace).dimensions(filter).into_paginator().send();
    let mut wanted = Vec::new();
    while let Some(page) = pages.next().await
        && wanted.len() <= OWN_METRICS
    {
        for metric in page.map_err(failed)?.metrics() {
            let Some(name) = metric.metric_name() else { continue };
            if metric.dimensions().iter().any(|dimension| dimension.name() == Some("plugin")) {
                continue;
            }
            let dimensions = metric.dimensions().iter().filter_map(|dimension| {
                let known = ["function", "reason", "stage", "rulebook", "table", "index", "resource", "cause"];
                let known = known.into_iter().find(|known| Some(*known) == dimension.name())?;
                Some((known, dimension.value().unwrap_or_default().to_owned()))
            });
            let dimensions: Vec<_> = dimensions.collect();
            // Values of a size or an age have no sum that means anything.
            let statistic = match name {
                "IteratorAge" | "RulebookVersion" | "HostsBehind" => Statistic::Maximum,
                _ => Statistic::Sum,
            };
            wanted.push(Wanted { namespace: Namespace::Function, name: name.to_owned(), dimensions, statistic });
        }
    }
    let more = wanted.len() > OWN_METRICS;
    wanted.truncate(OWN_METRICS);
    Ok((wanted, more))
}

/// Reads metrics: a request for 500 of them. A metric without values has an empty series.
pub(crate) async fn read(client: &Client, wanted: &[Wanted], span: &Span<'_>) -> Result<Vec<Series>, Failure> {
    let failed = |error| Failure::new("reading the metrics", "cloudwatch:GetMetricData", error);
    let period = span.period();
    let mut series: Vec<Series> = wanted.iter().map(|wanted| empty(wanted, period)).collect();
    for (page, some) in wanted.chunks(QUERIES).enumerate() {
        let queries =
            some.iter().enumerate().map(|(index, wanted)| query(page * QUERIES + index, wanted, span, period));
        let request = client
            .get_metric_data()
            .start_time(DateTime::from_millis(i64::try_from(span.since.0).unwrap_or_default()))
            .end_time(DateTime::from_millis(i64::try_from(span.end_ms()).unwrap_or_default()))
            .scan_by(aws_sdk_cloudwatch::types::ScanBy::TimestampAscending)
            .set_metric_data_queries(Some(queries.collect()));
        let mut pages = request.into_paginator().send();
        while let Some(response) = pages.next().await {
            for result in response.map_err(failed)?.metric_data_results() {
                let index = result.id().and_then(|id| id.strip_prefix('m')?.parse::<usize>().ok());
                let Some(series) = index.and_then(|index| series.get_mut(index)) else { continue };
                series.points.extend(result.timestamps().iter().zip(result.values()).filter_map(|(time, value)| {
                    Some(Point(Timestamp(u64::try_from(time.to_millis().ok()?).ok()?), *value))
                }));
            }
        }
    }
    for series in &mut series {
        series.points.sort_by_key(|Point(time, _)| *time);
    }
    Ok(series)
}

fn empty(wanted: &Wanted, period: u64) -> Series {
    Series {
        metric: Metric { namespace: wanted.namespace, name: wanted.name.clone() },
        dimensions: wanted.dimensions.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        statistic: wanted.statistic,
        period_seconds: period as f64,
        points: Vec::new(),
    }
}

fn query(index: usize, wanted: &Wanted, span: &Span<'_>, period: u64) -> MetricDataQuery {
    let dimension = |(name, value): &(&str, String)| Dimension::builder().name(*name).value(value).build();
    let metric = SdkMetric::builder()
        .namespace(span.name(wanted.namespace))
        .metric_name(&wanted.name)
        .set_dimensions(Some(wanted.dimensions.iter().map(dimension).collect()))
        .build();
    let statistic = match wanted.statistic {
        Statistic::Sum | Statistic::Value => "Sum",
        Statistic::Average => "Average",
        Statistic::Maximum => "Maximum",
        Statistic::Minimum => "Minimum",
        Statistic::SampleCount => "SampleCount",
    };
    let period = i32::try_from(period).unwrap_or(i32::MAX);
    let stat = MetricStat::builder().metric(metric).period(period).stat(statistic).build();
    MetricDataQuery::builder().id(format!("m{index}")).metric_stat(stat).build()
}
