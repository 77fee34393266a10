//! From the start of the function's process to its first answer, with each kind of registry, plugins compiled before or not,
//! and with a scorer in each language.

use std::path::Path;
use std::time::Instant;

use paceline_pipeline::rules::Registry;
use paceline_testbed::environment::AUTHORS;
use paceline_testbed::rules;
use tempfile::TempDir;

use super::deployed::{bucket, function, invoke, package, package_of};
use crate::languages::{TWINS, Twin};
use crate::timing::median;
use crate::{Results, print_line, root};

/// Cold starts of each kind.
const STARTS: usize = 11;

/// A kind of cold start: a name in the results, its package, the registry in its environment, and whether plugins are in
/// the cache.
struct Start<'p> {
    name: String,
    package: &'p Path,
    registry: Option<String>,
    is_cached: bool,
    target: &'static str,
}

pub(crate) fn run(results: &mut Results, event: &[u8]) {
    let plain = package();
    let packaged = with_code(package());
    let twins = twins();
    let seed = Registry::folder(&plain.path().join("registry")).expect("the package has a registry");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the runtime starts");
    let shared = tempfile::tempdir().expect("the temporary folder can be written");
    let folder = Registry::create_folder(shared.path()).expect("the temporary folder can be written");
    runtime.block_on(seed.copy_to(&folder)).expect("the registry can be copied");
    let folder = shared.path().to_str().expect("the path is UTF-8").to_owned();
    let start = |name: &str, package, registry, is_cached, target| {
        let name = name.to_owned();
        Start { name, package, registry, is_cached, target }
    };
    let plain = plain.path();
    let mut starts = vec![
        start("cold_start_ms_packaged", packaged.path(), None, false, "target: below 40"),
        start("cold_start_ms_cached", plain, None, true, "target: below 60"),
        start("cold_start_ms", plain, None, false, "target: below 250"),
        start("cold_start_ms_cached_folder", plain, Some(folder), true, ""),
    ];
    if let Some(location) = bucket(&seed) {
        starts.extend([
            start("cold_start_ms_packaged_bucket", packaged.path(), Some(location.clone()), false, ""),
            start("cold_start_ms_cached_bucket", plain, Some(location.clone()), true, ""),
            start("cold_start_ms_bucket", plain, Some(location), false, ""),
        ]);
    }
    for (twin, package) in &twins {
        let name = format!("cold_start_ms_packaged_{}", twin.name);
        starts.push(start(&name, package.path(), None, false, "target: below 150"));
    }
    measure(results, &starts, event);
}

fn measure(results: &mut Results, starts: &[Start<'_>], event: &[u8]) {
    let mut times = vec![Vec::new(); starts.len()];
    for turn in 0..STARTS {
        for (start, times) in starts.iter().zip(&mut times) {
            let empty = tempfile::tempdir().expect("the temporary folder can be written");
            let cache = if start.is_cached { start.package } else { empty.path() }.join("cache");
            let started = Instant::now();
            let function = function(start.package, &cache, start.registry.as_deref());
            invoke(&function, event);
            // The first turn warms up the cache of the file system.
            if turn > 0 {
                times.push(started.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    for (start, times) in starts.iter().zip(&mut times) {
        results.add(&start.name, median(times), "ms", start.target);
    }
}

/// Adds compiled code to a package.
fn with_code(package: TempDir) -> TempDir {
    rules::precompile(&package.path().join("registry"));
    package
}

/// Packages of which the scorer is in JavaScript or Python.
fn twins() -> Vec<(&'static Twin, TempDir)> {
    let Some(downloads) = std::env::var_os(AUTHORS).filter(|folder| !folder.is_empty()) else {
        print_line(&format!(
            "  plugins in JavaScript and Python: skipped, because {AUTHORS} is not set; `make bench` sets it"
        ));
        return Vec::new();
    };
    let projects = tempfile::tempdir_in(root().join("target")).expect("target can be written");
    let package = |twin: &'static Twin| {
        let file = twin.build(projects.path(), Path::new(&downloads));
        let rulebooks = tempfile::tempdir().expect("the temporary folder can be written");
        let Twin { rule, .. } = twin;
        let plugins = root().join("target/plugins");
        let rulebook = format!(
            "name = {rule:?}\nversion = 1\n[score]\nplugin = {rule:?}\n[[aggregate]]\nplugin = \"last-output\"\n\
             key = {{ PK = \"race-{{/raceId}}\", SK = \"racer-{{/racerId}}\" }}\ndedup = {{ ordinal = \"/second\" }}\n"
        );
        let rules = format!("[race-types]\n3 = \"rule.toml\"\n[plugins]\nfolder = {plugins:?}\n{rule} = {file:?}\n");
        for (name, text) in [("rule.toml", rulebook), ("rules.toml", rules)] {
            std::fs::write(rulebooks.path().join(name), text).expect("the temporary folder can be written");
        }
        (twin, with_code(package_of(rulebooks.path())))
    };
    TWINS.iter().map(package).collect()
}
