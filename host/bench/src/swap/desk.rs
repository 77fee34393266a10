//! The operator: versions of a rulebook, a registry in a folder, and activations.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use paceline_engine::{Engine, Limits};
use paceline_pipeline::rules::Registry;
use paceline_pipeline::rules::operator::{Author, Operator, PluginFiles, Prepared, Request, prepare};
use paceline_testbed::{plugins, rules};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{plugin, root};

/// The race type of the simulated races.
const RACE_TYPE: &str = "3";

pub(crate) struct Desk {
    versions: Vec<Prepared>,
    runtime: Runtime,
}

impl Desk {
    /// Versions of the example's rulebook. Each has another setting; the scorer has other bytes, with the same effect,
    /// in every `per_plugin`th.
    pub(crate) fn new(versions: usize, per_plugin: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the runtime starts");
        let folder = tempfile::tempdir().expect("the temporary folder can be written");
        let engine =
            Engine::with_cache(Limits::default(), &folder.path().join("compiled")).expect("the sandbox starts");
        let flat = root().join("examples/alleycat/rulebooks/flat.toml");
        let flat = std::fs::read_to_string(flat).expect("the example has this file");
        let (file, scorer) = (folder.path().join("flat.toml"), folder.path().join("output.wasm"));
        let named = BTreeMap::from([("output".to_owned(), scorer.clone())]);
        let files = PluginFiles { named, folder: Some(plugins::folder()), ..PluginFiles::default() };
        let version = |at: usize| {
            let mut bytes = plugin("output");
            // A custom section: its id, its size, the size of its name, its name.
            let number = format!("{:04}", at / per_plugin);
            bytes.extend([0, 5, 4].iter().chain(number.as_bytes()));
            std::fs::write(&scorer, bytes).expect("the temporary folder can be written");
            let telemetry = format!("plugin = \"telemetry\"\nsettings = {{ max-second = {} }}\n", 600 + at);
            let text = flat
                .replace("version = 1\n", &format!("version = {}\n", at + 1))
                .replace("plugin = \"telemetry\"\n", &telemetry);
            std::fs::write(&file, text).expect("the temporary folder can be written");
            let prepared = runtime.block_on(prepare(&engine, &Registry::memory(), &file, &files));
            prepared.expect("the rulebook is sound")
        };
        Self { versions: (0..versions).map(version).collect(), runtime }
    }

    /// A registry with all versions. The first one is active.
    pub(crate) fn publish(&self) -> TempDir {
        let folder = tempfile::tempdir().expect("the temporary folder can be written");
        let registry = Registry::create_folder(folder.path()).expect("the folder can be written");
        let mut requests: Vec<Request<'_>> = self.versions.iter().map(Request::Publish).collect();
        requests.push(self.activation(0, false));
        self.change(&registry, &requests);
        folder
    }

    /// Activates a version. Returns when that began and when it was done.
    pub(crate) fn activate(&self, registry: &Path, version: usize, now: bool) -> (Instant, Instant) {
        let started = Instant::now();
        let registry = Registry::create_folder(registry).expect("the folder can be written");
        self.change(&registry, &[self.activation(version, now)]);
        (started, Instant::now())
    }

    fn activation(&self, version: usize, now: bool) -> Request<'_> {
        Request::Activate { race_type: RACE_TYPE.to_owned(), rulebook: self.versions[version].digest, now }
    }

    fn change(&self, registry: &Registry, requests: &[Request<'_>]) {
        let route = rules::route();
        let operator = Operator { registry, route: &route };
        let author = Author { by: "bench".to_owned(), ..Author::default() };
        let changed = self.runtime.block_on(async { operator.commit(&author, operator.plan(requests).await?).await });
        changed.expect("the change is accepted");
    }
}
