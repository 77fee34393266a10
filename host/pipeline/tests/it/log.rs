//! The log of changes: who writes it, and what becomes of entries that are none.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use object_store::path::Path as ObjectPath;
use object_store::{ObjectStoreExt, PutPayload};
use paceline_engine::Digest;
use paceline_pipeline::ErrorChain;
use paceline_pipeline::rules::operator::{
    Author, ChangeError, Changed, Operator, PluginFiles, Prepared, Request, prepare,
};
use paceline_pipeline::rules::{InvalidEntry, PublicKey, Read, Registry, SigningKey, Tail};
use paceline_pipeline::store::Pin;
use paceline_testbed::{plugins, require, rules};
use tempfile::TempDir;

use crate::flaky_objects::{Failure, FlakyObjects};
use crate::support::{block_on, rulebook};

const DEDUP: &str = r#"{ ordinal = "/second" }"#;

/// Rulebook files, and a registry that several operators and hosts share.
pub(crate) struct Desk {
    folder: TempDir,
    pub(crate) objects: FlakyObjects,
    pub(crate) registry: Registry,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let objects = FlakyObjects::default();
        let registry = Registry::new(Arc::new(objects.clone()), "memory");
        Self { folder: TempDir::new().unwrap(), objects, registry }
    }

    /// A file with this text.
    pub(crate) fn file(&self, text: &str) -> PathBuf {
        let file = self.folder.path().join("rulebook.toml");
        std::fs::write(&file, text).unwrap();
        file
    }

    /// The name, for a rulebook, of a plugin that was built again: other bytes that do the same.
    pub(crate) fn built_again(&self, plugin: &str) -> String {
        let mut bytes = plugins::bytes(plugin);
        // A custom section with the name `x`.
        bytes.extend([0, 2, 1, b'x']);
        std::fs::write(self.folder.path().join("again.wasm"), bytes).unwrap();
        "\"./again.wasm\"".to_owned()
    }

    /// A rulebook of race type `race_type` in this version.
    pub(crate) fn prepared(&self, race_type: u32, version: u64) -> Prepared {
        self.prepare(&text(race_type, version))
    }

    pub(crate) fn prepare(&self, text: &str) -> Prepared {
        prepare_file(&self.registry, &self.file(text))
    }

    pub(crate) fn change(&self, requests: &[Request<'_>]) -> Result<Changed, ChangeError> {
        change(&self.registry, "ann", requests)
    }

    /// Publishes and activates a rulebook.
    pub(crate) fn activate(&self, race_type: u32, prepared: &Prepared) -> u64 {
        self.change(&[Request::Publish(prepared), activate(race_type, prepared)]).unwrap().revision
    }

    /// The registry loses a rulebook.
    pub(crate) fn lose_rulebook(&self, digest: Digest) {
        let path = ObjectPath::from(format!("rulebooks/{}.toml", digest.hex()));
        block_on(self.objects.delete(&path)).unwrap();
    }

    pub(crate) fn put(&self, revision: u64, bytes: &[u8]) {
        let path = ObjectPath::from(format!("log/{revision:020}.json"));
        block_on(self.objects.put(&path, PutPayload::from(bytes.to_vec()))).unwrap();
    }

    pub(crate) fn entry(&self, revision: u64) -> Vec<u8> {
        let path = ObjectPath::from(format!("log/{revision:020}.json"));
        block_on(async { self.objects.get(&path).await.unwrap().bytes().await }).unwrap().to_vec()
    }

    pub(crate) fn tail(&self) -> (Tail, Vec<Read>) {
        block_on(Tail::open(&self.registry)).unwrap()
    }
}

/// A rulebook whose groups contain the race type.
pub(crate) fn text(race_type: u32, version: u64) -> String {
    let text = rulebook(race_type, "race-{/classId}-{/raceId}", DEDUP);
    text.replace("version = 1", &format!("version = {version}"))
}

fn prepare_file(registry: &Registry, file: &Path) -> Prepared {
    let files = PluginFiles { folder: Some(plugins::folder()), ..PluginFiles::default() };
    block_on(prepare(&rules::engine(), registry, file, &files)).unwrap()
}

pub(crate) fn activate(race_type: u32, prepared: &Prepared) -> Request<'static> {
    Request::Activate { race_type: race_type.to_string(), rulebook: prepared.digest, now: false }
}

fn change(registry: &Registry, by: &str, requests: &[Request<'_>]) -> Result<Changed, ChangeError> {
    change_as(registry, Author { by: by.to_owned(), ..Author::default() }, requests)
}

pub(crate) fn change_as(registry: &Registry, author: Author, requests: &[Request<'_>]) -> Result<Changed, ChangeError> {
    let route = rules::route();
    let operator = Operator { registry, route: &route };
    block_on(async { operator.commit(&author, operator.plan(requests).await?).await })
}

#[test]
fn publishing_the_same_bytes_twice_changes_nothing() {
    require!(Plugins);
    let desk = Desk::new();
    let first = desk.prepared(3, 1);
    assert_eq!(desk.activate(3, &first), 1);
    let again = desk.change(&[Request::Publish(&first), activate(3, &first)]).unwrap();
    assert_eq!((again.revision, again.changes.len()), (1, 0));
    // Another build of a plugin is another plugin.
    let other = desk.prepare(&text(3, 1).replace("\"output\"", &desk.built_again("output")));
    let error = desk.change(&[Request::Publish(&other)]).unwrap_err().to_string();
    assert!(error.contains("class-3@1 was published with other content or other plugins"), "{error}");
    assert_eq!(desk.tail().0.revision, 1);
}

#[test]
fn the_second_of_two_changes_of_one_race_type_is_void_and_changes_of_two_race_types_both_succeed() {
    require!(Plugins);
    let desk = Desk::new();
    desk.activate(3, &desk.prepared(3, 1));
    let (two, three, other) = (desk.prepared(3, 2), desk.prepared(3, 3), desk.prepared(5, 1));
    // Our plan is made before their change, and committed after it: both write the same revision.
    let race = |ours: &[Request<'_>], theirs: &[Request<'_>]| {
        let route = rules::route();
        let operator = Operator { registry: &desk.registry, route: &route };
        let plan = block_on(operator.plan(ours)).unwrap();
        change(&desk.registry, "bob", theirs).unwrap();
        block_on(operator.commit(&Author::default(), plan))
    };
    let error = race(&[Request::Publish(&three), activate(3, &three)], &[Request::Publish(&two), activate(3, &two)]);
    match error.unwrap_err() {
        ChangeError::Void { race_type, revision, by } => assert_eq!((&*race_type, revision, &*by), ("3", 2, "bob")),
        other => panic!("{other:?}"),
    }
    let changed = race(&[Request::Publish(&other), activate(5, &other)], &[activate(3, &desk.prepared(3, 1))]);
    assert_eq!(changed.unwrap().revision, 4);
    let (tail, _) = desk.tail();
    assert_eq!(tail.rules.routing.keys().collect::<Vec<_>>(), ["3", "5"]);
    assert_eq!(tail.rules.routing["3"].current, Some(desk.prepared(3, 1).digest));
}

#[test]
fn the_second_of_two_changes_of_what_a_race_runs_is_void() {
    require!(Plugins);
    let desk = Desk::new();
    let (one, two, three) = (desk.prepared(3, 1), desk.prepared(3, 2), desk.prepared(3, 3));
    desk.activate(3, &one);
    desk.change(&[Request::Publish(&two), Request::Publish(&three)]).unwrap();
    let repin = |race: &str, to: &Prepared| Request::Repin {
        race_type: "3".to_owned(),
        race: race.to_owned(),
        pin: Pin { rulebook: one.digest, revision: 1 },
        to: to.digest,
    };
    let now = |to: &Prepared| Request::Activate { race_type: "3".to_owned(), rulebook: to.digest, now: true };
    let race = |ours: Request<'_>, theirs: Request<'_>| {
        let route = rules::route();
        let operator = Operator { registry: &desk.registry, route: &route };
        let ours = [ours];
        let plan = block_on(operator.plan(&ours)).unwrap();
        let revision = change(&desk.registry, "bob", &[theirs]).unwrap().revision;
        block_on(operator.commit(&Author::default(), plan)).map_err(|error| match error {
            ChangeError::Void { revision: theirs, by, .. } => assert_eq!((theirs, &*by), (revision, "bob")),
            other => panic!("{other:?}"),
        })
    };
    race(repin("131", &three), repin("131", &two)).unwrap_err();
    // Changes of two races both stand, and so do new races that begin with something else.
    race(repin("132", &three), repin("133", &two)).unwrap();
    race(repin("134", &three), activate(3, &two)).unwrap();
    // Races in progress are moved to what is active already.
    race(repin("135", &three), now(&two)).unwrap_err();
    desk.change(&[activate(3, &three)]).unwrap();
    race(now(&three), repin("136", &one)).unwrap_err();
    race(Request::Rollback { race_type: "3".to_owned() }, repin("137", &three)).unwrap_err();
    let rules = desk.tail().0.rules;
    let runs = |race: &str| rules.effective("3", race, Pin { rulebook: one.digest, revision: 1 });
    assert_eq!(["131", "132", "135", "136"].map(runs), [two.digest, three.digest, two.digest, one.digest]);
}

#[test]
fn a_writer_that_is_killed_between_upload_and_entry_changes_nothing() {
    require!(Plugins);
    let desk = Desk::new();
    desk.activate(3, &desk.prepared(3, 1));
    let two = desk.prepared(3, 2);
    desk.objects.log_writes.lock().unwrap().push_back(Failure::Lost);
    let error = desk.change(&[Request::Publish(&two), activate(3, &two)]).unwrap_err();
    assert!(ErrorChain(&error).to_string().contains("can't write log/"), "{error}");
    assert_eq!(desk.tail().0.revision, 1);
    assert_eq!(desk.activate(3, &two), 2);
}

#[test]
fn a_write_whose_answer_is_lost_is_recognized_as_ones_own() {
    require!(Plugins);
    let desk = Desk::new();
    desk.objects.log_writes.lock().unwrap().push_back(Failure::AnswerLost);
    assert_eq!(desk.activate(3, &desk.prepared(3, 1)), 1);
    assert_eq!(desk.tail().0.revision, 1);
}

#[test]
fn an_entry_that_is_garbage_or_of_another_log_is_skipped_and_the_next_one_chains_over_it() {
    require!(Plugins);
    let desk = Desk::new();
    desk.activate(3, &desk.prepared(3, 1));
    let (mut host, _) = desk.tail();
    desk.put(2, b"{\"format\": 1, half an ent");
    let other = Desk::new();
    other.activate(3, &other.prepared(3, 1));
    other.activate(3, &other.prepared(3, 2));
    other.activate(3, &other.prepared(3, 3));
    desk.put(3, &other.entry(3));
    let two = desk.prepared(3, 2);
    assert_eq!(desk.activate(3, &two), 4);

    let reads = block_on(host.read_on(&desk.registry)).unwrap();
    let [Read::Skipped { revision: 2, why: garbage }, Read::Skipped { revision: 3, why: foreign }, Read::Entry(entry)] =
        &reads[..]
    else {
        panic!("{reads:?}")
    };
    assert!(matches!(garbage, InvalidEntry::Garbage(_)) && matches!(foreign, InvalidEntry::Foreign(_)));
    assert_eq!((entry.revision, entry.rules.routing["3"].current), (4, Some(two.digest)));
    // A host that starts now finds the same rules.
    assert_eq!(desk.tail().0, host);
}

#[test]
fn an_entry_whose_bytes_were_altered_breaks_the_chain_for_those_who_read_it_and_no_rules_change() {
    require!(Plugins);
    let desk = Desk::new();
    desk.activate(3, &desk.prepared(3, 1));
    let (mut host, _) = desk.tail();
    let mut first = desk.entry(1);
    first.extend(b"\n\n");
    desk.put(1, &first);
    let two = desk.prepared(3, 2);
    // The operator reads the altered entry and writes its successor, which does not follow what the host has read.
    desk.activate(3, &two);
    let reads = block_on(host.read_on(&desk.registry)).unwrap();
    assert!(matches!(&reads[..], [Read::Skipped { why: InvalidEntry::Foreign(_), .. }]), "{reads:?}");
    assert_eq!(host.rules.routing["3"].current, Some(desk.prepared(3, 1).digest));
}

#[test]
fn an_entry_of_a_later_format_stops_the_reading_and_is_reported_once() {
    require!(Plugins);
    let desk = Desk::new();
    desk.activate(3, &desk.prepared(3, 1));
    let (mut host, _) = desk.tail();
    desk.put(2, b"{\"format\": 2, \"revision\": 2, \"news\": true}");
    let reads = block_on(host.read_on(&desk.registry)).unwrap();
    assert!(matches!(&reads[..], [Read::Skipped { revision: 2, why: InvalidEntry::Format(2) }]), "{reads:?}");
    assert_eq!(block_on(host.read_on(&desk.registry)).unwrap(), []);
    assert_eq!(host.revision, 1);
    // Nobody may write over what they can't read.
    let two = desk.prepared(3, 2);
    let error = desk.change(&[Request::Publish(&two)]).unwrap_err().to_string();
    assert!(error.contains("format 2") && error.contains("a later version of paceline"), "{error}");
}

#[test]
fn a_stale_hint_or_none_leads_to_the_same_rules() {
    require!(Plugins);
    let desk = Desk::new();
    for version in 1..=5 {
        desk.activate(3, &desk.prepared(3, version));
    }
    let newest = desk.tail().0;
    for hint in ["1\n", "4", "99", "not a number", ""] {
        block_on(desk.objects.put(&ObjectPath::from("head"), PutPayload::from(hint))).unwrap();
        assert_eq!(desk.tail().0, newest, "{hint:?}");
    }
    block_on(desk.objects.delete(&ObjectPath::from("head"))).unwrap();
    assert_eq!(desk.tail().0, newest);
}

#[test]
fn a_plugin_whose_bytes_were_altered_is_never_loaded() {
    require!(Plugins);
    let desk = Desk::new();
    let one = desk.prepared(3, 1);
    desk.activate(3, &one);
    let plugin = *one.published.plugins.first().unwrap();
    let path = ObjectPath::from(format!("plugins/{}.wasm", plugin.hex()));
    block_on(desk.objects.put(&path, PutPayload::from(plugins::bytes("evil-wasi")))).unwrap();
    let error = block_on(desk.registry.plugin(plugin)).unwrap_err().to_string();
    let found = Digest::of(&plugins::bytes("evil-wasi"));
    assert!(error.contains("was changed: the digest of its bytes is") && error.contains(&found.hex()), "{error}");
    // Publishing it again puts the right bytes back.
    desk.change(&[Request::Publish(&desk.prepared(3, 2))]).unwrap();
    assert!(block_on(desk.registry.plugin(plugin)).is_ok());
}

#[test]
fn a_registry_that_is_down_is_an_error_that_names_it() {
    require!(Plugins);
    let desk = Desk::new();
    desk.objects.is_down.store(true, Ordering::Relaxed);
    let error = block_on(Tail::open(&desk.registry)).unwrap_err();
    assert!(error.is_transient());
    assert_eq!(
        ErrorChain(&error).to_string(),
        "can't read head in the registry memory: Generic flaky error: no answer"
    );
}

#[test]
fn only_changes_that_a_trusted_key_has_signed_are_followed_and_keys_are_rotated_by_appending() {
    require!(Plugins);
    let key = || SigningKey::generate().unwrap();
    let (first, second, stranger) = (key(), key(), key());
    let read = |bytes: &[u8]| SigningKey::from_pkcs8(bytes).unwrap();
    let author = |bytes: &[u8]| Author { by: "ann".to_owned(), key: Some(read(bytes)), ..Author::default() };
    let desk = Desk::new();
    let trusting = |keys: &[&[u8]]| {
        let keys: Vec<PublicKey> = keys.iter().map(|bytes| read(bytes).public()).collect();
        desk.registry.clone().trusting(&keys)
    };
    let (one, two, three) = (desk.prepared(3, 1), desk.prepared(3, 2), desk.prepared(3, 3));
    let signed = trusting(&[&first]);
    // Without a key, or with another one, nothing is written.
    for author in [Author::default(), author(&stranger)] {
        let error = change_as(&signed, author, &[Request::Publish(&one)]).unwrap_err().to_string();
        assert!(error.contains("rules.trusted-keys") && error.contains("--key FILE"), "{error}");
    }
    change_as(&signed, author(&first), &[Request::Publish(&one), activate(3, &one)]).unwrap();
    let (mut host, _) = block_on(Tail::open(&signed)).unwrap();
    assert_eq!(host.revision, 1);

    // An unsigned entry, one of a stranger, and one whose bytes were altered: all skipped, and what was goes on.
    change(&desk.registry, "mallory", &[Request::Publish(&two), activate(3, &two)]).unwrap();
    change_as(&trusting(&[&stranger, &first]), author(&stranger), &[Request::Publish(&three), activate(3, &three)])
        .unwrap();
    change_as(&signed, author(&first), &[activate(3, &one), Request::Sign]).unwrap();
    let altered = String::from_utf8(desk.entry(4)).unwrap().replace("\"ann\"", "\"bob\"");
    desk.put(4, altered.as_bytes());
    let reads = block_on(host.read_on(&signed)).unwrap();
    assert_eq!(reads.len(), 3, "{reads:?}");
    assert!(
        reads.iter().all(|read| matches!(read, Read::Skipped { why: InvalidEntry::Untrusted(_), .. })),
        "{reads:?}"
    );
    assert_eq!((host.revision, host.rules.routing["3"].current), (4, Some(one.digest)));
    // The log is not wedged.
    change_as(&signed, author(&first), &[Request::Publish(&two), activate(3, &two)]).unwrap();
    block_on(host.read_on(&signed)).unwrap();
    assert_eq!((host.revision, host.rules.routing["3"].current), (5, Some(two.digest)));

    // A new key: an entry that it signs is enough, because each has the whole rules.
    change_as(&trusting(&[&first, &second]), author(&second), &[Request::Sign]).unwrap();
    let (rotated, _) = block_on(Tail::open(&trusting(&[&second]))).unwrap();
    assert_eq!((rotated.revision, &rotated.rules), (6, &host.rules));
    // With the stranger's key alone, only what the stranger signed counts.
    let (theirs, _) = block_on(Tail::open(&trusting(&[&stranger]))).unwrap();
    assert_eq!(theirs.rules.routing["3"].current, Some(three.digest));
}

#[test]
fn an_unsigned_entry_of_a_later_format_does_not_stop_who_trusts_keys() {
    require!(Plugins);
    let bytes = SigningKey::generate().unwrap();
    let key = || SigningKey::from_pkcs8(&bytes).unwrap();
    let desk = Desk::new();
    let signed = desk.registry.clone().trusting(&[key().public()]);
    let author = || Author { key: Some(key()), ..Author::default() };
    let one = desk.prepared(3, 1);
    change_as(&signed, author(), &[Request::Publish(&one), activate(3, &one)]).unwrap();
    desk.put(2, b"{\"format\": 2}");
    let two = desk.prepared(3, 2);
    change_as(&signed, author(), &[Request::Publish(&two), activate(3, &two)]).unwrap();
    let (tail, _) = block_on(Tail::open(&signed)).unwrap();
    assert_eq!((tail.revision, tail.rules.routing["3"].current), (3, Some(two.digest)));
}
