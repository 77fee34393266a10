//! Changes of the rules while records flow, and what must then hold of the items.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use paceline_pipeline::model::{Item, Key, Provenance, RulebookId, RulesRevision};
use paceline_pipeline::rules::{Registry, Rules, Tail};
use paceline_pipeline::store::{PinKey, Store};
use paceline_simulator::{PartitionKey, Race};
use paceline_testbed::outcome::{DedupMode, Message, Outcome, block_on, race};
use paceline_testbed::plugins;

use crate::support::{paceline, succeed};

/// Changes of the rules, one after another: what each does, and the version that new races begin with after it. Version 1
/// is active before the first.
pub(crate) const CHANGES: [(&[&str], u64); 8] = [
    (&["activate", "class-3@2", "--race-type", "3"], 2),
    (&["activate", "class-3@3", "--race-type", "3", "--when", "now"], 3),
    (&["rollback", "3"], 2),
    (&["activate", "class-3@1", "--race-type", "3", "--when", "now"], 1),
    (&["activate", "class-3@2", "--race-type", "3"], 2),
    (&["rollback", "3"], 1),
    (&["activate", "class-3@3", "--race-type", "3"], 3),
    (&["activate", "class-3@2", "--race-type", "3"], 2),
];

/// Parts of the stream in which a race has messages.
const PARTS: usize = 3;
const SECONDS: u32 = 12;
/// The number of the first race.
const FIRST: u32 = 131;

/// Messages for a race's number of racers, in parts: one for each change, and those after the last. A race begins in each
/// of the former, and goes on in the two parts after it.
pub(crate) fn parts(racers: u32, key: PartitionKey) -> Vec<Vec<Message>> {
    let mut parts = vec![Vec::new(); CHANGES.len() + PARTS - 1];
    for begins in 0..CHANGES.len() {
        let number = FIRST + begins as u32;
        let duplicates = if key == PartitionKey::Random { 3.0 } else { 0.0 };
        let race_of = Race {
            racers,
            seconds: SECONDS,
            class: 3,
            race: number.into(),
            seed: number,
            key,
            errors: 2.0,
            duplicates,
        };
        let messages = race(&race_of);
        for (at, part) in messages.chunks(messages.len().div_ceil(PARTS)).enumerate() {
            parts[begins + at].extend_from_slice(part);
        }
    }
    parts
}

/// The operator, with the program's configuration.
pub(crate) struct Operator {
    config: PathBuf,
}

impl Operator {
    /// Publishes two more versions of the rulebook, which have the same effect: one has another setting, the other one
    /// another build of the scorer. `folder` is for their files.
    pub(crate) fn publish(config: PathBuf, first: &str, folder: &Path) -> Self {
        let operator = Self { config };
        let mut bytes = plugins::bytes("output");
        // A custom section with the name `x`.
        bytes.extend([0, 2, 1, b'x']);
        std::fs::write(folder.join("again.wasm"), bytes).unwrap();
        assert!(first.contains("version = 1\n") && first.contains("\"telemetry\"\n") && first.contains("\"output\""));
        let setting = first.replace("\"telemetry\"\n", "\"telemetry\"\nsettings = { max-second = 700 }\n");
        for (version, text) in [(2, setting), (3, first.replace("\"output\"", "\"./again.wasm\""))] {
            let file = folder.join("next.toml");
            std::fs::write(&file, text.replace("version = 1\n", &format!("version = {version}\n"))).unwrap();
            let (file, folder) = (file.to_str().unwrap(), plugins::folder());
            operator.change(&["publish", file, "--plugins", folder.to_str().unwrap()]);
        }
        operator
    }

    /// Makes a change and returns its revision.
    pub(crate) fn change(&self, arguments: &[&str]) -> u64 {
        let mut command = paceline(&["rules"]);
        command.args(arguments).arg("--json").arg("--config").arg(&self.config).env("PACELINE_OPERATOR", "ann");
        let changed: serde_json::Value = serde_json::from_str(&succeed(&mut command)).unwrap();
        changed["revision"].as_u64().unwrap()
    }
}

/// The line of a host that has taken a change over.
pub(crate) fn active(version: u64, revision: u64) -> String {
    format!("race type 3: class-3@{version} is active (revision {revision})")
}

/// An outcome without what names the rules.
pub(crate) fn without_rules(outcome: Outcome) -> Outcome {
    let strip = |(key, item): (Key, Item)| {
        let provenance = Provenance::clone(&item.provenance);
        let rulebook = RulebookId { version: 0, digest: [0; 32].into(), ..provenance.rulebook };
        let (rules, plugins) = (RulesRevision::default(), Vec::new());
        let provenance = Arc::new(Provenance { rulebook, rules, plugins, ..provenance });
        (key, Item { provenance, reruled: false, ..item })
    };
    Outcome { items: outcome.items.into_iter().map(strip).collect(), ..outcome }
}

/// What the races of a store were evaluated by.
pub(crate) struct Evaluated {
    /// The versions by which the items of each race were last written.
    pub(crate) versions: BTreeMap<String, BTreeSet<u64>>,
    /// The races that do not run what they began with.
    pub(crate) moved: BTreeSet<String>,
}

/// What the races were evaluated by. Asserts that each item names a published rulebook, that rulebook's plugins and a
/// revision; and that the rulebook is the one which the item's race ran at that revision, by its pin and the log.
pub(crate) fn evaluated(store: &impl Store, registry: &Registry) -> Evaluated {
    let (tail, _) = block_on(Tail::open(registry)).unwrap();
    let log = RulesRevision::new(tail.registry.as_deref().unwrap(), tail.revision);
    let mut versions: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    let mut moved = BTreeSet::new();
    for (key, item) in block_on(store.list_groups()).unwrap() {
        let Provenance { rulebook, rules, plugins, .. } = &*item.provenance;
        assert!(rules.registry == log.registry && rules.revision > 0 && !rules.is_after(&log), "{key}: {rules:?}");
        assert_eq!(tail.rules.id(rulebook.digest).as_ref(), Some(rulebook), "{key}");
        let published = &tail.rules.rulebooks[&rulebook.digest].plugins;
        assert!(plugins.len() == 3 && plugins.iter().all(|plugin| published.contains(plugin)), "{key}: {plugins:?}");
        let Some(race) = race_of(&key) else { continue };
        let pin = block_on(store.get_pins(&[PinKey { race_type: "3".to_owned(), value: race.clone() }])).unwrap();
        let pin = pin[0].unwrap_or_else(|| panic!("race {race} has no pin"));
        let mut reruled = tail.rules.reruled.clone();
        reruled.retain(|reruling| reruling.revision <= rules.revision);
        let effective = Rules { reruled, ..Rules::default() }.effective("3", &race, pin);
        assert_eq!(effective, rulebook.digest, "{key} at revision {}, pinned {pin:?}", rules.revision);
        if rulebook.digest != pin.rulebook {
            moved.insert(race.clone());
        }
        versions.entry(race).or_default().insert(rulebook.version);
    }
    Evaluated { versions, moved }
}

/// Asserts that the [`CHANGES`] hold of each race: see [`evaluated`].
pub(crate) fn check(store: &impl Store, registry: &Registry) {
    let Evaluated { versions, moved } = evaluated(store, registry);
    assert_eq!(versions.len(), CHANGES.len());
    // The third race was moved before its last part came; nothing moved the last race. Otherwise this would show little.
    let used: BTreeSet<u64> = versions.values().flatten().copied().collect();
    assert!(used.len() > 1, "{versions:?}");
    assert!(!moved.is_empty() && moved.len() < versions.len(), "{moved:?} of {versions:?}");
    for (race, versions) in versions.iter().filter(|(race, _)| !moved.contains(*race)) {
        assert_eq!(versions.len(), 1, "race {race} was not moved");
    }
}

/// The race of a group. A class's groups have none.
fn race_of(key: &Key) -> Option<String> {
    let is_of_race = key.partition.starts_with("race-") || key.partition.starts_with("tally-");
    is_of_race.then(|| key.partition.rsplit('-').next().unwrap_or_default().to_owned())
}

/// The dedup that is exact for records with these keys.
pub(crate) fn dedup_of(key: PartitionKey) -> DedupMode {
    if key == PartitionKey::Random { DedupMode::Ordinal } else { DedupMode::Sequence }
}
