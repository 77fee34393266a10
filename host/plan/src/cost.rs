//! What a deployment costs a month.

use paceline_capacity::{Prices, kinesis};
use serde::Serialize;

use crate::deployment::{Consumer, TableMode};
use crate::flow::Flow;
use crate::shape::Shape;

/// Hours of a month.
const HOURS: f64 = 730.0;
/// Seconds of a month.
const SECONDS: f64 = HOURS * 3_600.0;
const MILLION: f64 = 1e6;
const GIGABYTE: f64 = 1_073_741_824.0;
/// The retention in hours beyond which gigabytes are billed.
const LONG_RETENTION_HOURS: u32 = 168;
/// Read units a second that are provisioned for each one that is used.
const READ_HEADROOM: f64 = 1.5;

/// What a deployment costs a month, in US dollars.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cost {
    /// What is paid for.
    pub items: Vec<CostItem>,
}

/// What is paid for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CostItem {
    /// The service.
    pub service: &'static str,
    /// What of it.
    pub what: &'static str,
    /// How much of it a month.
    pub amount: f64,
    /// US dollars a month.
    pub dollars: f64,
}

impl Cost {
    /// US dollars a month.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.items.iter().map(|item| item.dollars).sum()
    }

    /// The services and their dollars, in the order of the items.
    #[must_use]
    pub fn by_service(&self) -> Vec<(&'static str, f64)> {
        let mut services: Vec<(&'static str, f64)> = Vec::new();
        for item in &self.items {
            match services.iter_mut().find(|(service, _)| *service == item.service) {
                Some((_, dollars)) => *dollars += item.dollars,
                None => services.push((item.service, item.dollars)),
            }
        }
        services
    }

    fn add(&mut self, service: &'static str, what: &'static str, amount: f64, price: f64) {
        if amount > 0.0 {
            self.items.push(CostItem { service, what, amount, dollars: amount * price });
        }
    }

    pub(crate) fn new(flow: &Flow, shape: &Shape<'_>, prices: &Prices) -> Self {
        let mut cost = Self::default();
        cost.add_kinesis(flow, shape, prices);
        cost.add_consumer(flow, shape, prices);
        cost.add_table(flow, shape, prices);
        cost.add_cloudwatch(flow, shape, prices);
        cost
    }

    fn add_kinesis(&mut self, flow: &Flow, shape: &Shape<'_>, prices: &Prices) {
        let (deployment, prices) = (shape.deployment, &prices.kinesis);
        let shard_hours = f64::from(deployment.shards) * HOURS;
        let busy = shape.load.duty() * SECONDS;
        let put_units = shape.load.record_bytes().div_ceil(kinesis::PUT_UNIT_BYTES).max(1) as f64;
        self.add("Kinesis", "shard hours", shard_hours, prices.shard_hour);
        // Records that a shard rejects are not billed.
        let put_units = flow.accepted_records() * put_units * busy / MILLION;
        self.add("Kinesis", "million PUT units", put_units, prices.put_units_million);
        if deployment.retention_hours > kinesis::RETENTION_HOURS {
            self.add("Kinesis", "shard hours of longer retention", shard_hours, prices.retention_shard_hour);
        }
        if deployment.retention_hours > LONG_RETENTION_HOURS {
            let kept = f64::from(deployment.retention_hours - LONG_RETENTION_HOURS) * 3_600.0 * shape.load.duty();
            let gigabytes = flow.accepted_bytes() * kept / GIGABYTE;
            self.add("Kinesis", "gigabytes kept beyond 7 days", gigabytes, prices.long_retention_gigabyte_month);
        }
        if let Consumer::Run(process) | Consumer::Kcl(process) = &deployment.consumer
            && process.fan_out
        {
            self.add("Kinesis", "shard hours of fan-out", shard_hours, prices.fan_out_shard_hour);
            let gigabytes = flow.accepted_bytes() * busy / GIGABYTE;
            self.add("Kinesis", "gigabytes by fan-out", gigabytes, prices.fan_out_gigabyte);
        }
    }

    fn add_consumer(&mut self, flow: &Flow, shape: &Shape<'_>, prices: &Prices) {
        let busy = shape.load.duty() * SECONDS;
        match &shape.deployment.consumer {
            Consumer::Function(function) => {
                let requests = flow.batches_per_second * busy / MILLION;
                let gigabytes = f64::from(function.memory_mb) / 1_024.0;
                let price = match function.arm {
                    true => prices.lambda.arm_gigabyte_second,
                    false => prices.lambda.gigabyte_second,
                };
                self.add("Lambda", "million requests", requests, prices.lambda.requests_million);
                self.add("Lambda", "gigabyte-seconds", flow.concurrency * gigabytes * busy, price);
            }
            Consumer::Run(process) | Consumer::Kcl(process) => {
                let prices = &prices.container;
                self.add("Container", "processor hours", process.processors * HOURS, prices.processor_hour);
                self.add("Container", "gigabyte hours", process.gigabytes * HOURS, prices.gigabyte_hour);
            }
        }
    }

    fn add_table(&mut self, flow: &Flow, shape: &Shape<'_>, prices: &Prices) {
        let prices = &prices.dynamodb;
        let busy = shape.load.duty() * SECONDS / MILLION;
        match shape.deployment.table {
            TableMode::OnDemand { .. } => {
                let (table, index) = (flow.table_units_per_second * busy, flow.index_units_per_second * busy);
                self.add("DynamoDB", "million write units, table", table, prices.write_units_million);
                self.add("DynamoDB", "million write units, index", index, prices.write_units_million);
                let reads = flow.read_units_per_second * busy;
                self.add("DynamoDB", "million read units", reads, prices.read_units_million);
            }
            TableMode::Provisioned { units, index_units } => {
                self.add("DynamoDB", "write unit hours, table", units * HOURS, prices.write_unit_hour);
                self.add("DynamoDB", "write unit hours, index", index_units * HOURS, prices.write_unit_hour);
                let reads = (flow.read_units_per_second * READ_HEADROOM).ceil();
                self.add("DynamoDB", "read unit hours", reads * HOURS, prices.read_unit_hour);
            }
        }
    }

    fn add_cloudwatch(&mut self, flow: &Flow, shape: &Shape<'_>, prices: &Prices) {
        let prices = &prices.cloudwatch;
        if shape.deployment.function().is_some() {
            let duty = shape.load.duty();
            self.add("CloudWatch", "metrics", f64::from(shape.work.metrics) * duty, prices.metric_month);
            let logged = flow.batches_per_second * shape.work.log_bytes * SECONDS * duty / GIGABYTE;
            self.add("CloudWatch", "gigabytes of logs", logged, prices.log_gigabyte);
        }
        self.add("CloudWatch", "alarms", f64::from(shape.deployment.alarms), prices.alarm_month);
    }
}
