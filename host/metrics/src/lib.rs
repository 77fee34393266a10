//! The metrics of paceline.
//!
//! One list has all of them. From it come the names, types and descriptions that hosts emit, the tables of
//! `docs/metrics.md`, the alarms and the dashboard of `examples/alleycat/template.yaml`, and
//! `examples/alleycat/grafana.json`. The tests of this crate compare the files with the list, and write them with
//! `PACELINE_UPDATE=1`.
//!
//! # Layout
//!
//! - `metric`: what is known of a metric.
//! - [`list`]: the metrics.
//! - `registry`: the values of a process, in Prometheus's text format.
//! - `merge`: the texts of several processes as one.
//! - [`emf`]: the values of one Lambda event, in CloudWatch's embedded metric format.
//! - [`alarms`]: the alarms of a deployment on Lambda.
//! - [`documents`]: the files that are made from the lists.
#![forbid(unsafe_code)]

pub mod alarms;
pub mod documents;
pub mod emf;
pub mod list;
mod merge;
mod metric;
mod registry;

pub use merge::merge;
pub use metric::{CloudWatch, Kind, Metric, Statistic, Unit};
pub use registry::Registry;
