//! From a rulebook's file to what is published: plugins resolved to digests, and every plugin checked in the sandbox.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use paceline_engine::{Digest, Engine};

use super::samples::Samples;
use crate::rules::document::{Rulebook, digest_of};
use crate::rules::error::{RegistryError, RulebookError};
use crate::rules::loaded::LoadedRulebook;
use crate::rules::loading::{PluginCode, compile};
use crate::rules::nearest::nearest;
use crate::rules::registry::Registry;
use crate::rules::routing::Published;

/// Where the plugins are that rulebooks name.
#[derive(Clone, Debug, Default)]
pub struct PluginFiles {
    /// Files by name.
    pub named: BTreeMap<String, PathBuf>,
    /// A folder with a file `NAME.wasm` for each other name.
    pub folder: Option<PathBuf>,
    /// The bytes of plugins of other registries, by the references that [`remote_plugins`] finds.
    pub remote: RemotePlugins,
}

/// Plugins of OCI registries: their bytes, by the references with which rulebooks name them.
pub type RemotePlugins = BTreeMap<String, Vec<u8>>;

/// How a plugin's name begins that is a reference into an OCI registry.
const REMOTE: &str = "oci://";

/// The references into OCI registries with which a rulebook's file names plugins. Whoever prepares the rulebook fetches
/// them before. A file that can't be read has none: [`prepare`] says why.
pub fn remote_plugins(file: &Path) -> BTreeSet<String> {
    let rulebook = fs::read_to_string(file).ok().and_then(|text| Rulebook::parse(&text).ok());
    let names = rulebook.iter().flat_map(Rulebook::plugins);
    names.filter(|name| name.starts_with(REMOTE)).cloned().collect()
}

/// A rulebook that can be published.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The document, with every plugin named by its digest.
    pub document: Rulebook,
    /// The digest of its bytes.
    pub digest: Digest,
    /// What the log says of it.
    pub published: Published,
    /// The bytes of its plugins. Those that a digest names are in the registry already.
    pub(super) plugins: Vec<(Digest, Vec<u8>)>,
}

/// Reads a rulebook's file, resolves its plugins and checks them in the sandbox, with the sample events beside the file.
/// `registry` provides plugins that are named by digests. An error does not name the file: who calls this knows it.
pub async fn prepare(
    engine: &Engine,
    registry: &Registry,
    file: &Path,
    files: &PluginFiles,
) -> Result<Prepared, RulebookError> {
    prepare_and_check(engine, registry, file, files, Samples::beside(file)?).await
}

/// Like [`prepare`], with the sample events of another file.
pub async fn prepare_with_samples(
    engine: &Engine,
    registry: &Registry,
    file: &Path,
    files: &PluginFiles,
    samples: &Path,
) -> Result<Prepared, RulebookError> {
    prepare_and_check(engine, registry, file, files, Samples::read(samples)?).await
}

async fn prepare_and_check(
    engine: &Engine,
    registry: &Registry,
    file: &Path,
    files: &PluginFiles,
    samples: Samples,
) -> Result<Prepared, RulebookError> {
    let text = fs::read_to_string(file).map_err(RulebookError::Unreadable)?;
    let named = Rulebook::parse(&text)?;
    let mut plugins: BTreeMap<Digest, Vec<u8>> = BTreeMap::new();
    let mut names: BTreeMap<Digest, String> = BTreeMap::new();
    let document = named.resolved(|name| {
        if name.starts_with("sha256:") {
            return digest_of(name);
        }
        if name.starts_with(REMOTE) {
            let bytes = files.remote.get(name).ok_or_else(|| not_fetched(name))?;
            let digest = Digest::of(bytes);
            plugins.insert(digest, bytes.clone());
            names.insert(digest, format!("`{name}`"));
            return Ok(digest);
        }
        let path = files.find(name, file)?;
        let refused = |source| RulebookError::PluginFile { name: name.to_owned(), path: path.clone(), source };
        let bytes = fs::read(&path).map_err(refused)?;
        let digest = Digest::of(&bytes);
        plugins.insert(digest, bytes);
        names.insert(digest, format!("`{name}` ({})", path.display()));
        Ok(digest)
    })?;
    for digest in document.digests()? {
        if let Entry::Vacant(missing) = plugins.entry(digest) {
            missing.insert(registry.plugin(digest).await?);
        }
    }
    let plugins: Vec<(Digest, Vec<u8>)> = plugins.into_iter().collect();
    let code = plugins.iter().map(|(digest, wasm)| PluginCode { digest: *digest, wasm: wasm.clone(), signed: None });
    let by_name = |error| with_names(error, &names);
    let components = compile(engine, code.collect()).await.map_err(by_name)?;
    let components: BTreeMap<Digest, _> = components.into_iter().collect();
    let loaded = LoadedRulebook::new(document, |digest| components.get(&digest).cloned()).map_err(by_name)?;
    loaded.check_settings().map_err(by_name)?;
    let loaded = Arc::new(loaded);
    samples.check(&loaded).await?;
    let published = Published {
        name: loaded.id.name.clone(),
        version: loaded.id.version,
        plugins: components.keys().copied().collect(),
        formats: loaded.formats(),
    };
    Ok(Prepared { digest: loaded.id.digest, document: loaded.document.clone(), published, plugins })
}

/// The sandbox knows plugins by their digests, and their author by the names in the rulebook.
fn with_names(error: RulebookError, names: &BTreeMap<Digest, String>) -> RulebookError {
    let named = |text: String| names.iter().fold(text, |text, (digest, name)| text.replace(&digest.to_string(), name));
    match error {
        RulebookError::Plugin { plugin, source } => RulebookError::Plugin { plugin: named(plugin), source },
        RulebookError::Mismatch(why) => RulebookError::Mismatch(named(why)),
        other => other,
    }
}

fn not_fetched(name: &str) -> RulebookError {
    RulebookError::MissingPlugin(format!(
        "plugin `{name}` was not fetched, because this program has no access to OCI registries: name a file of the plugin"
    ))
}

impl Prepared {
    /// Adds the rulebook and its plugins to the registry. Nothing refers to them before a log entry does.
    pub(super) async fn upload(&self, registry: &Registry) -> Result<(), RegistryError> {
        for (_, bytes) in &self.plugins {
            registry.add_plugin(bytes).await?;
        }
        registry.add_rulebook(&self.document).await.map(drop)
    }
}

impl PluginFiles {
    /// The file of a plugin. A name with a slash is a path, relative to the rulebook's folder.
    fn find(&self, name: &str, rulebook: &Path) -> Result<PathBuf, RulebookError> {
        if name.contains('/') {
            return Ok(rulebook.parent().unwrap_or(Path::new("")).join(name));
        }
        if let Some(file) = self.named.get(name) {
            return Ok(file.clone());
        }
        if let Some(file) = self.folder.as_ref().map(|folder| folder.join(format!("{name}.wasm")))
            && file.is_file()
        {
            return Ok(file);
        }
        let mut known: Vec<String> = self.named.keys().cloned().collect();
        let entries = self.folder.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        known.extend(entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".wasm").map(str::to_owned)));
        let nearest = nearest(name, known.iter().map(String::as_str));
        let advice = nearest.map_or(String::new(), |nearest| format!("; did you mean `{nearest}`?"));
        let place = match &self.folder {
            Some(folder) => format!("{} has no {name}.wasm", folder.display()),
            None => "no folder of plugins is named".to_owned(),
        };
        Err(RulebookError::MissingPlugin(format!(
            "there is no plugin `{name}`: {place}, and no file is named for it: `--plugins FOLDER` of `publish` and [plugins] \
             of rules.toml do{advice}"
        )))
    }
}
