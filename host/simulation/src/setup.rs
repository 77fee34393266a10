//! What all runs of a process share: the engine, the compiled plugins, and registries with published rulebooks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use object_store::memory::InMemory;
use paceline_engine::{Digest, Engine, EngineError, Limits};
use paceline_pipeline::model::Pointer;
use paceline_pipeline::rules::operator::{Author, ChangeError, Operator, PluginFiles, Prepared, Request, prepare};
use paceline_pipeline::rules::{Registry, RegistryError, RulebookError, SharedRulebooks};

use crate::plan::Plan;

/// The versions of each rulebook. The second one weighs resistance otherwise, and is stricter; the third one has another
/// aggregator, which takes over the states of the first one.
pub(crate) const VERSIONS: [u64; 3] = [1, 2, 3];

/// The simulation can't start.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A plugin is missing.
    #[error("the folder of plugins {} has no {name}.wasm: run `make plugins`", folder.display())]
    NoPlugin {
        /// The folder.
        folder: PathBuf,
        /// The plugin.
        name: &'static str,
    },
    /// The sandbox does not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A rulebook is refused.
    #[error("a rulebook of the simulation is refused")]
    Rulebook(#[from] RulebookError),
    /// The registry refuses a change.
    #[error("the registry of the simulation refuses a change")]
    Change(#[from] ChangeError),
    /// The registry can't be followed.
    #[error("the registry of the simulation can't be followed")]
    Registry(#[from] RegistryError),
    /// A file can't be written, or no runtime or thread be started.
    #[error("the simulation can't start")]
    Io(#[from] std::io::Error),
}

/// The plugins of the rulebooks.
const PLUGINS: [&str; 6] = ["telemetry", "output", "last-output", "best-output", "evil-aggregator", "evil-migration"];

/// What all runs of a process share.
#[derive(Debug)]
pub struct Setup {
    pub(crate) engine: Engine,
    pub(crate) shared: SharedRulebooks,
    families: BTreeMap<Family, Rulebooks>,
}

/// Which rulebooks a run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Family {
    is_ordinal: bool,
    has_windows: bool,
}

/// Published rulebooks, and the registry that has them.
#[derive(Debug)]
pub(crate) struct Rulebooks {
    objects: Arc<InMemory>,
    /// By whether it pins races, and version.
    digests: BTreeMap<(bool, u64), Digest>,
}

impl Rulebooks {
    /// The objects of a registry of its own in which the rulebooks are published.
    pub(crate) fn objects(&self) -> Arc<InMemory> {
        Arc::new(self.objects.fork())
    }

    pub(crate) fn digest(&self, is_pinned: bool, version: u64) -> Digest {
        self.digests[&(is_pinned, version)]
    }

    pub(crate) fn version(&self, digest: Digest) -> Option<u64> {
        self.digests.iter().find(|(_, other)| **other == digest).map(|((_, version), _)| *version)
    }
}

/// The field that names a record's race type.
pub(crate) fn route() -> Pointer {
    Pointer::parse("/classId").expect("it is a pointer")
}

/// Who changes the rules; with one time, equal changes have equal logs.
pub(crate) fn author() -> Author {
    Author { by: "operator".to_owned(), why: None, at: Some(UNIX_EPOCH), key: None }
}

impl Setup {
    /// Compiles the plugins of this folder, or takes them from the cache, and publishes the simulation's rulebooks.
    pub fn new(plugins: &Path, cache: Option<&Path>) -> Result<Self, SetupError> {
        if let Some(name) = PLUGINS.into_iter().find(|name| !plugins.join(name).with_extension("wasm").is_file()) {
            return Err(SetupError::NoPlugin { folder: plugins.to_owned(), name });
        }
        // The limit on time is the only one that depends on the machine.
        let limits = Limits { call_ms: 60_000, ..Limits::default() };
        let engine = match cache {
            Some(folder) => Engine::with_cache(limits, folder)?,
            None => Engine::new(limits)?,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let folder = tempfile::tempdir()?;
        let files = PluginFiles { folder: Some(plugins.to_owned()), ..PluginFiles::default() };
        let shared = SharedRulebooks::default();
        let mut families = BTreeMap::new();
        for (is_ordinal, has_windows) in [(false, false), (false, true), (true, false), (true, true)] {
            let family = Family { is_ordinal, has_windows };
            let mut prepared = BTreeMap::new();
            for (is_pinned, version) in [true, false].into_iter().flat_map(|pin| VERSIONS.map(|version| (pin, version)))
            {
                let file = folder.path().join("rulebook.toml");
                std::fs::write(&file, text(family, is_pinned, version))?;
                let found = runtime.block_on(prepare(&engine, &Registry::memory(), &file, &files))?;
                prepared.insert((is_pinned, version), found);
            }
            let rulebooks = runtime.block_on(publish(prepared))?;
            runtime.block_on(load(&engine, &shared, &rulebooks))?;
            families.insert(family, rulebooks);
        }
        Ok(Self { engine, shared, families })
    }

    /// The rulebooks of a plan.
    pub(crate) fn rulebooks(&self, plan: &Plan) -> &Rulebooks {
        &self.families[&Family { is_ordinal: plan.is_ordinal(), has_windows: plan.has_windows() }]
    }
}

async fn publish(prepared: BTreeMap<(bool, u64), Prepared>) -> Result<Rulebooks, SetupError> {
    let objects = Arc::new(InMemory::new());
    let registry = Registry::new(objects.clone(), "memory");
    let route = route();
    let operator = Operator { registry: &registry, route: &route };
    let requests: Vec<Request<'_>> = prepared.values().map(Request::Publish).collect();
    let plan = operator.plan(&requests).await?;
    operator.commit(&author(), plan).await?;
    let digests = prepared.into_iter().map(|(which, prepared)| (which, prepared.digest)).collect();
    Ok(Rulebooks { objects, digests })
}

/// Loads all rulebooks, so that no run has to: the first one would go otherwise than those after it.
async fn load(engine: &Engine, shared: &SharedRulebooks, published: &Rulebooks) -> Result<(), SetupError> {
    let (registry, route) = (Registry::new(published.objects(), "memory"), route());
    let operator = Operator { registry: &registry, route: &route };
    let activate = |(at, &rulebook)| Request::Activate { race_type: format!("{at}"), rulebook, now: false };
    let requests: Vec<Request<'_>> = published.digests.values().enumerate().map(activate).collect();
    operator.commit(&author(), operator.plan(&requests).await?).await?;
    let rulebooks = paceline_pipeline::Rulebooks::new(engine.clone(), registry.clone(), route.clone());
    rulebooks.with_shared_rulebooks(shared.clone()).poll().await?;
    Ok(())
}

/// A rulebook. Two of its aggregators list messages, those of a racer in a race and those of a team in a class; with windows
/// they count them, because a list can't be merged. The groups of a race are packed, which the store in memory ignores.
fn text(family: Family, is_pinned: bool, version: u64) -> String {
    let dedup = |field: &str| match family.is_ordinal {
        true => format!(r#"{{ ordinal = "{field}" }}"#),
        false => r#""sequence""#.to_owned(),
    };
    let (in_race, in_class) = (dedup("/second"), dedup("/deviceTimestamp"));
    let (name, pin) = if is_pinned { ("pinned", "pin = \"/raceId\"\n") } else { ("unpinned", "") };
    let deed = if family.has_windows { "trap-on-row" } else { "list-and-trap-on-row" };
    let (weight, most) = if version == 2 { ("1.5", 79) } else { ("1", 86) };
    let best = if version == 3 { "evil-migration" } else { "best-output" };
    format!(
        r#"
name = "{name}"
version = {version}
{pin}
[[validate]]
plugin = "telemetry"
settings = {{ max-cadence = 300, max-resistance = {most} }}
[score]
plugin = "output"
settings = {{ resistance-weight = "{weight}" }}
[[aggregate]]
plugin = "evil-aggregator"
settings = {{ deed = "{deed}" }}
key = {{ PK = "race-{{/classId}}-{{/raceId}}", SK = "racer-{{/racerId}}" }}
pack = {{ into = 2 }}
dedup = {in_race}
[[aggregate]]
plugin = "evil-aggregator"
settings = {{ deed = "{deed}" }}
key = {{ PK = "class-{{/classId}}", SK = "team-{{/team}}" }}
dedup = {in_class}
[[aggregate]]
plugin = "last-output"
key = {{ PK = "last-{{/classId}}-{{/raceId}}", SK = "racer-{{/racerId}}" }}
pack = {{ into = 2, show = ["output"], alone = "final" }}
dedup = {in_race}
[[aggregate]]
plugin = "{best}"
where = {{ "/event" = "final" }}
key = {{ PK = "best-{{/classId}}", SK = "racer-{{/racerId}}" }}
dedup = {in_class}
"#
    )
}
