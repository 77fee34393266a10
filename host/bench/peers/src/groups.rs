//! Which contestants are compared, and what their results are called.
//!
//! A contestant whose instance is kept is compared with paceline's fresh one: the host at its best, and paceline as its
//! pipeline works.

use std::cell::RefCell;
use std::path::Path;

use crate::SIZES;
use crate::contestants::arrow_udf::ArrowUdf;
use crate::contestants::extism::Extism;
use crate::contestants::fluvio::Fluvio;
use crate::contestants::native;
use crate::contestants::node::{Node, NodeRule};
use crate::contestants::paceline::Paceline;
use crate::contestants::records::Records;
use crate::messages::Batch;
use crate::table::{Entry, Group, Results};
use crate::turns::Contestant;

/// All hosts, with their guests compiled.
struct Hosts {
    paceline: Paceline,
    extism: Extism,
    fluvio: Fluvio,
    arrow_udf: ArrowUdf,
    records: Records,
    node: Option<RefCell<Node>>,
}

/// Runs all groups. `target` holds the plugins and the guests.
pub(crate) fn run(target: &Path, batches: &[Batch], results: &mut Results) {
    let read = |file: &Path| {
        std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}; `make bench-peers` builds it", file.display()))
    };
    let guest = |name| read(&target.join(format!("peers-guests/wasm32-unknown-unknown/release/{name}_guest.wasm")));
    let most_rows = SIZES.map(|(rows, _)| rows).into_iter().max().unwrap_or_default();
    let hosts = Hosts {
        paceline: Paceline::new(&read(&target.join("plugins/output.wasm"))),
        extism: Extism::new(&guest("extism"), most_rows),
        fluvio: Fluvio::new(guest("fluvio")),
        arrow_udf: ArrowUdf::new(&guest("arrow_udf")),
        records: Records::new(&guest("records")),
        node: Node::start(),
    };
    if hosts.node.is_none() {
        crate::table::print_line("node is not installed, and is left out");
    }
    let group = Group { title: "from JSON to scores", ours: "json_to_score_ns", control: "control", infix: "" };
    group.compare(batches, |batch| from_json(&hosts, batch), results);
    let group =
        Group { title: "from base64 to scores", ours: "base64_to_score_ns", control: "control_base64", infix: "" };
    group.compare(batches, |batch| from_base64(&hosts, batch), results);
    let group = Group {
        title: "from columns to scores",
        ours: "columns_to_score_ns",
        control: "control_columns",
        infix: "columns_",
    };
    group.compare(batches, |batch| from_columns(&hosts, batch), results);
}

fn from_json<'a>(hosts: &'a Hosts, batch: &'a Batch) -> Vec<Entry<'a>> {
    let Hosts { paceline, extism, fluvio, records, .. } = hosts;
    let mut entries = vec![
        entry("ours", "paceline", move || paceline.json(batch)),
        entry("control", "paceline again (A/A)", move || paceline.json(batch)),
        entry("kept", "  kept instance", paceline.json_kept(batch)),
        entry("native", "plain serde_json loop", move || native::from_json(batch)),
        entry("records", "list of records, kept", records.batch(batch)),
        entry("records_fresh", "  fresh instance", move || records.batch_fresh(batch)),
        entry("extism", "Extism, kept", extism.batch(batch)),
        entry("extism_fresh", "  fresh instance", move || extism.batch_fresh(batch)),
        entry("extism_records", "  a call a record, kept", extism.records(batch)),
        entry("fluvio", "Fluvio, kept", fluvio.batch(batch)),
    ];
    entries.extend(node_entry(hosts, batch, "node_json", "json"));
    entries
}

fn from_base64<'a>(hosts: &'a Hosts, batch: &'a Batch) -> Vec<Entry<'a>> {
    let Hosts { paceline, .. } = hosts;
    let mut entries = vec![
        entry("ours", "paceline", move || paceline.base64(batch)),
        entry("control", "paceline again (A/A)", move || paceline.base64(batch)),
    ];
    entries.extend(node_entry(hosts, batch, "node", "base64"));
    entries
}

fn from_columns<'a>(hosts: &'a Hosts, batch: &'a Batch) -> Vec<Entry<'a>> {
    let Hosts { paceline, extism, arrow_udf, .. } = hosts;
    vec![
        entry("ours", "paceline", move || paceline.columns(batch)),
        entry("control", "paceline again (A/A)", move || paceline.columns(batch)),
        entry("kept", "  kept instance", paceline.columns_kept(batch)),
        entry("native", "plain loop", move || native::from_columns(batch)),
        entry("arrow_udf", "Arrow UDF, kept", arrow_udf.batch(batch)),
        entry("arrow_udf_fresh", "  fresh instance", arrow_udf.batch_fresh(batch)),
        entry("extism", "Extism, bytes, kept", extism.columns(batch)),
    ]
}

fn node_entry<'a>(hosts: &'a Hosts, batch: &Batch, key: &'static str, rule: &'static str) -> Option<Entry<'a>> {
    let node = hosts.node.as_ref()?;
    node.borrow_mut().load(batch);
    Some(entry(key, "node", NodeRule { node, name: rule }))
}

fn entry<'a>(key: &'static str, name: &'static str, contestant: impl Contestant + 'a) -> Entry<'a> {
    Entry { key, name, contestant: Box::new(contestant) }
}
