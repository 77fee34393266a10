//! Laws of packed groups.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use paceline_pipeline::dedup::{DedupState, OrdinalSet};
use paceline_pipeline::model::{Attribute, Item, Packing, SmolStr};
use proptest::prelude::*;

use super::content::{self, Content, InvalidPack, PackKey};
use super::groups::Moved;
use super::groups_format::{self, InvalidGroups};
use super::plan::{GroupWrite, Plan};
use super::shown::{self, Shown};
use crate::dynamodb::item::{MAX_ITEM_BYTES, Map, test_provenance};

fn pack_key() -> PackKey {
    PackKey { partition: "race-3-1".to_owned(), number: 7 }
}

fn packing() -> Packing {
    Packing { into: 8, show: vec!["output".to_owned()], show_every: 1, alone: Some("GSI".to_owned()) }
}

fn shown_of(packings: &[Packing]) -> Shown {
    let mut shown = Shown::default();
    packings.iter().for_each(|packing| shown.add(packing));
    shown
}

/// An item with a state of so many bytes that do not compress.
fn item(revision: u64, state: usize, attributes: Vec<(SmolStr, Attribute)>) -> Arc<Item> {
    let mut seed = revision.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ state as u64;
    let byte = |_| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as u8
    };
    let mut ordinals = OrdinalSet::default();
    ordinals.insert(revision as i64);
    let (state, dedup) = ((0..state).map(byte).collect(), DedupState::Ordinal(ordinals));
    Arc::new(Item { revision, state, dedup, attributes, provenance: test_provenance(), reruled: revision % 7 == 3 })
}

fn attributes(output: f64, is_final: bool) -> Vec<(SmolStr, Attribute)> {
    let output = ("output".into(), Attribute::Number(output));
    let result = ("GSI".into(), Attribute::Integer(3));
    [Some(output), is_final.then_some(result)].into_iter().flatten().collect()
}

/// What DynamoDB's documentation says that an item takes.
fn documented_size(map: &Map) -> usize {
    fn bytes(value: &AttributeValue) -> usize {
        match value {
            AttributeValue::S(text) => text.len(),
            AttributeValue::B(bytes) => bytes.as_ref().len(),
            AttributeValue::Bool(_) => 1,
            AttributeValue::N(text) => {
                let mantissa = text.split('e').next().unwrap_or_default();
                mantissa.bytes().filter(u8::is_ascii_digit).count().min(38).div_ceil(2) + 1
            }
            AttributeValue::M(members) => {
                3 + members.iter().map(|(name, of)| 1 + name.len() + bytes(of)).sum::<usize>()
            }
            other => panic!("{other:?}"),
        }
    }
    map.iter().map(|(name, of)| name.len() + bytes(of)).sum()
}

fn these(sorts: impl IntoIterator<Item = String>) -> Moved {
    Moved::These(Arc::new(sorts.into_iter().map(Arc::from).collect()))
}

prop_compose! {
    fn contents(largest_state: usize)(
        revision in 0..1_000_u64,
        groups in prop::collection::btree_map("[a-z]{1,6}", (1..20_u64, 0..largest_state, any::<i32>()), 0..40),
        moved in prop::collection::btree_set("new-[0-9]", 0..4),
    ) -> Content {
        let group = |(sort, (revision, state, output)): (String, (u64, usize, i32))| {
            (Arc::from(sort), item(revision, state, attributes(f64::from(output) / 8.0, false)))
        };
        Content { revision, groups: groups.into_iter().map(group).collect(), moved: these(moved) }
    }
}

/// Groups whose attributes have one of several layouts, and are in their states or not.
fn shape() -> impl Strategy<Value = Item> {
    let value = prop_oneof![
        any::<bool>().prop_map(Attribute::Boolean),
        prop_oneof![any::<i64>(), 1_700_000_000_000..1_700_000_009_999_i64].prop_map(Attribute::Integer),
        prop_oneof![-1e300..1e300, (0..2_000_000_u32).prop_map(|n| f64::from(n) / 1e4)].prop_map(Attribute::Number),
        "[a-c]{0,2}".prop_map(Attribute::Text),
        prop::collection::vec(any::<u8>(), 0..4).prop_map(Attribute::Blob),
    ];
    let values = prop::collection::vec((value, any::<bool>()), 0..4);
    let rest = (prop::collection::vec(any::<u8>(), 0..100), any::<u64>(), any::<i64>(), any::<bool>());
    (values, rest).prop_map(|(values, (mut state, revision, ordinal, reruled))| {
        for (value, is_in_state) in &values {
            match value {
                Attribute::Number(number) if *is_in_state => state.extend(number.to_le_bytes()),
                Attribute::Integer(integer) if *is_in_state => state.extend(postcard::to_allocvec(integer).unwrap()),
                _ => {}
            }
        }
        let mut ordinals = OrdinalSet::default();
        ordinals.insert(ordinal);
        let name = |(at, (value, _)): (usize, _)| (SmolStr::from(format!("value-{at}")), value);
        let attributes = values.into_iter().enumerate().map(name).collect();
        let dedup = DedupState::Ordinal(ordinals);
        Item { revision, state, dedup, attributes, provenance: test_provenance(), reruled }
    })
}

fn inflated(compressed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    ZlibDecoder::new(compressed).read_to_end(&mut plain).unwrap();
    plain
}

/// A write: which group, whether its revision is the one that was read, the bytes of its state, and whether it is final.
type Draft = (prop::sample::Index, bool, usize, bool);

/// Writes of groups that are there and of groups that are not, each once.
fn writes(base: &Content, drafts: &[Draft]) -> Vec<GroupWrite> {
    let absent = (0..30).map(|number| Arc::from(format!("new-{number}")));
    let sorts: Vec<Arc<str>> = base.groups.keys().cloned().chain(absent).collect();
    let mut seen = HashSet::new();
    let mut writes = Vec::new();
    for (at, (which, is_current, state, is_final)) in drafts.iter().enumerate() {
        let sort = Arc::clone(which.get(&sorts));
        if !seen.insert(Arc::clone(&sort)) {
            continue;
        }
        let held = base.groups.get(&sort).map(|item| item.revision);
        let expected = if *is_current { held } else { Some(held.unwrap_or(40) + 1) };
        let item = item(expected.unwrap_or(0) + 1, *state, attributes(0.5, *is_final));
        writes.push(GroupWrite { at, sort, expected, item, packing: Arc::new(packing()) });
    }
    writes
}

fn drafts(largest_state: usize) -> impl Strategy<Value = Vec<Draft>> {
    let draft = (any::<prop::sample::Index>(), prop::bool::weighted(0.8), 0..largest_state, prop::bool::weighted(0.2));
    prop::collection::vec(draft, 1..60)
}

/// The laws of one plan. Returns what the groups that moved out have become.
fn check_plan(
    base: &Content,
    writes: &[GroupWrite],
    plan: &Plan,
) -> Result<BTreeMap<Arc<str>, Arc<Item>>, TestCaseError> {
    let parts = [&plan.taken, &plan.left, &plan.conflicts, &plan.alone, &plan.done];
    let mut indexes: Vec<usize> = parts.iter().flat_map(|part| part.iter().map(|write| write.at)).collect();
    indexes.sort_unstable();
    let mut all: Vec<usize> = writes.iter().map(|write| write.at).collect();
    all.sort_unstable();
    prop_assert_eq!(indexes, all, "each write is in one part");

    prop_assert_eq!(plan.content.revision, base.revision + 1);
    prop_assert!(plan.done.iter().all(|write| base.groups.get(&write.sort) == Some(&write.item)));
    prop_assert!(plan.moves.len() <= 99);
    prop_assert!(plan.alone.iter().all(|write| base.moved.has(&write.sort)));
    let names = (0..30).map(|number| format!("new-{number}"));
    prop_assert!(names.filter(|sort| base.moved.has(sort)).all(|sort| plan.content.moved.has(&sort)), "it stays out");
    let mut expected = base.groups.clone();
    let mut moved = BTreeMap::new();
    for write in &plan.taken {
        let held = base.groups.get(&write.sort).map(|item| item.revision);
        prop_assert_eq!(held, write.expected, "a write is done only if its revision is the one that was read");
        let goes = !plan.content.groups.contains_key(&write.sort);
        prop_assert_eq!(goes, plan.content.moved.has(&write.sort), "a group is in one place");
        prop_assert_eq!(goes, plan.moves.iter().any(|moved| moved.at == write.at));
        match goes {
            true => {
                expected.remove(&write.sort);
                moved.insert(Arc::clone(&write.sort), Arc::clone(&write.item));
            }
            false => drop(expected.insert(Arc::clone(&write.sort), Arc::clone(&write.item))),
        }
    }
    prop_assert_eq!(&plan.content.groups, &expected, "nothing else changes");
    prop_assert!(plan.taken.is_empty() || content::size(&plan.map) <= MAX_ITEM_BYTES);
    Ok(moved)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_comes_back(content in contents(200)) {
        let map = content.encode(&pack_key()).map;
        let (key, read) = Content::decode(&map).unwrap();
        prop_assert_eq!(key, pack_key());
        prop_assert_eq!(&read, &content);
        let (size, documented) = (content::size(&map), documented_size(&map));
        prop_assert!((documented..=documented + 16).contains(&size), "{} and not {}", size, documented);
    }

    /// Groups of several layouts, with values of all types, whose states have some of their attributes.
    #[test]
    fn groups_of_any_shape_come_back(groups in prop::collection::btree_map("[a-c]{0,3}", shape(), 0..30)) {
        let groups = groups.into_iter().map(|(sort, item)| (Arc::from(sort), Arc::new(item))).collect();
        let moved = these([]);
        let bytes = groups_format::encode(&groups, &moved).bytes;
        prop_assert_eq!(groups_format::decode(&bytes).unwrap(), (groups, moved));
    }

    /// Bytes that nobody wrote are refused, or are some groups; nothing panics.
    #[test]
    fn columns_that_contradict_each_other_are_refused(
        content in contents(20),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut plain = inflated(&groups_format::encode(&content.groups, &content.moved).bytes);
        changes.iter().for_each(|(at, byte)| *at.get_mut(&mut plain) = *byte);
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&plain).unwrap();
        if let Ok((groups, moved)) = groups_format::decode(&encoder.finish().unwrap()) {
            let again = groups_format::encode(&groups, &moved).bytes;
            prop_assert_eq!(groups_format::decode(&again).unwrap(), (groups, moved));
        }
    }

    #[test]
    fn a_plan_does_what_the_conditions_allow(base in contents(200), drafts in drafts(200)) {
        let writes = writes(&base, &drafts);
        let plan = Plan::new(&base, &pack_key(), writes.clone());
        check_plan(&base, &writes, &plan)?;
        prop_assert!(plan.left.is_empty(), "so few writes are one request");
    }

    /// Large states fill an item: groups move out, and in the end every write is done.
    #[test]
    fn every_write_is_done_however_large(base in contents(8_000), drafts in drafts(60_000)) {
        let mut pending = writes(&base, &drafts);
        let mut base = base;
        let is_valid = |write: &&GroupWrite| {
            let held = base.groups.get(&write.sort).map(|item| item.revision);
            held == write.expected && !base.moved.has(&write.sort)
        };
        let valid: HashSet<usize> = pending.iter().filter(is_valid).map(|write| write.at).collect();
        let mut done = HashSet::new();
        while !pending.is_empty() {
            let plan = Plan::new(&base, &pack_key(), pending.clone());
            check_plan(&base, &pending, &plan)?;
            prop_assert!(plan.left.len() < pending.len(), "each request does something");
            done.extend(plan.taken.iter().map(|write| write.at));
            if !plan.taken.is_empty() {
                base = plan.content;
            }
            pending = plan.left;
        }
        prop_assert_eq!(done, valid);
    }
}

#[test]
fn a_result_stays_until_it_has_an_item_of_its_own() {
    let group = |number: usize| (Arc::from(format!("racer-{number:03}")), item(1, 24, attributes(0.5, false)));
    let base = Content { revision: 4, groups: (0..150).map(group).collect(), moved: Moved::default() };
    let write = |(at, (sort, _)): (usize, (&Arc<str>, &Arc<Item>))| GroupWrite {
        at,
        sort: Arc::clone(sort),
        expected: Some(1),
        item: item(2, 24, attributes(0.75, true)),
        packing: Arc::new(packing()),
    };
    let writes: Vec<GroupWrite> = base.groups.iter().enumerate().map(write).collect();
    let plan = Plan::new(&base, &pack_key(), writes);
    assert_eq!((plan.taken.len(), plan.moves.len(), plan.content.groups.len()), (150, 0, 150));

    // One has another revision by now, and another is not there.
    let racers = [("racer-001", 2), ("racer-002", 2), ("racer-003", 1), ("racer-999", 2)];
    let groups = racers.map(|(sort, revision)| (Arc::from(sort), revision));
    let without = Plan::without(&plan.content, &groups).unwrap();
    assert_eq!((without.revision, without.groups.len()), (6, 148));
    let moved = ["racer-000", "racer-001", "racer-002", "racer-003", "racer-999"].map(|sort| without.moved.has(sort));
    assert_eq!(moved, [false, true, true, false, false]);
    assert!(without.groups.iter().all(|(sort, item)| plan.content.groups[sort] == *item));
    assert_eq!(Plan::without(&without, &groups), None);
}

#[test]
fn groups_that_moved_are_named_as_long_as_they_are_few() {
    let mut moved = Moved::default();
    (0..20_000).for_each(|number| moved.add(&format!("racer-{number}").into()));
    assert!(moved.has("racer-19999") && !moved.has("racer-20000"));
    moved.add(&"racer-20000".into());
    assert_eq!(moved, Moved::AllOthers);
    let base = Content { revision: 3, groups: [(Arc::from("a"), item(1, 9, vec![]))].into(), moved };
    let write = |(at, sort, expected)| {
        let packing = Arc::new(packing());
        GroupWrite { at, sort: Arc::from(sort), expected, item: item(2, 9, vec![]), packing }
    };
    let plan = Plan::new(&base, &pack_key(), [(0, "a", Some(1)), (1, "b", None)].map(write).into());
    let parts = [&plan.taken, &plan.alone].map(|part| part.iter().map(|write| write.at).collect::<Vec<_>>());
    assert_eq!(parts, [[0], [1]]);
}

/// DynamoDB would refuse every write of an item that the names of new groups have made too large.
#[test]
fn the_names_of_groups_that_move_out_do_not_make_an_item_too_large() {
    // The room is for a name or two.
    const ROOM: usize = 50;
    let content = |state| {
        let groups = [(Arc::from("a"), item(1, state, vec![]))].into();
        Content { revision: 3, groups, moved: Moved::default() }
    };
    let mut state = MAX_ITEM_BYTES;
    while let over @ 1.. = content::size(&content(state).encode(&pack_key()).map).saturating_sub(MAX_ITEM_BYTES - ROOM)
    {
        state -= over;
    }
    let mut base = content(state);
    let mut random = fastrand::Rng::with_seed(1);
    for round in 0..8 {
        let sort: String = std::iter::repeat_with(|| random.alphanumeric()).take(40).collect();
        let (item, packing) = (item(1, 100, vec![]), Arc::new(packing()));
        let write = GroupWrite { at: 0, sort: sort.into(), expected: None, item, packing };
        let plan = Plan::new(&base, &pack_key(), vec![write.clone()]);
        check_plan(&base, std::slice::from_ref(&write), &plan).unwrap();
        let bytes = content::size(&plan.map);
        assert!(bytes <= MAX_ITEM_BYTES, "{bytes} bytes in round {round}");
        // It moves out, or has an item of its own from the beginning.
        assert_eq!((plan.moves.len() + plan.alone.len(), plan.content.groups.len()), (1, 1));
        if plan.alone.is_empty() {
            base = plan.content;
        }
        assert!(base.moved.has(&write.sort));
    }
    assert_eq!(base.moved, Moved::AllOthers);
}

/// Their compressed bytes would fit into the item, which could not be read any more.
#[test]
fn groups_that_compress_well_are_not_more_than_can_be_read_again() {
    let write = |at: usize| {
        let mut item = Item::clone(&item(1, 0, vec![]));
        item.state = vec![0; 100 << 10];
        item.state[..8].copy_from_slice(&at.to_le_bytes());
        let (item, packing) = (Arc::new(item), Arc::new(packing()));
        GroupWrite { at, sort: format!("racer-{at}").into(), expected: None, item, packing }
    };
    let plan = Plan::new(&Content::default(), &pack_key(), (0..700).map(write).collect());
    let (_, read) = Content::decode(&plan.map).unwrap();
    assert!(read == plan.content, "another content comes back");
    assert!(!plan.moves.is_empty() && plan.taken.len() + plan.left.len() == 700);
    assert!((600..700).contains(&read.groups.len()), "{} groups share the item", read.groups.len());
}

#[test]
fn what_paceline_did_not_write_is_refused_with_its_attribute() {
    let content = Content { revision: 4, groups: [(Arc::from("a"), item(1, 9, vec![]))].into(), moved: these([]) };
    let map = content.encode(&pack_key()).map;
    let bytes = |bytes: &[u8]| AttributeValue::B(aws_sdk_dynamodb::primitives::Blob::new(bytes));
    let changed = |name: &str, value: AttributeValue| {
        let mut map = map.clone();
        map.insert(name.to_owned(), value);
        Content::decode(&map).unwrap_err()
    };
    let text = || AttributeValue::S("1".to_owned());
    for name in ["@pack-revision", "@groups"] {
        assert!(matches!(changed(name, text()), InvalidPack::Attribute(of) if of == name), "{name}");
    }
    assert!(matches!(changed("SK", text()), InvalidPack::Attribute("SK")));
    assert!(matches!(changed("@groups", bytes(&[9, 1, 2])), InvalidPack::Format(9)));
    let compression = |error| matches!(error, InvalidPack::Groups(InvalidGroups::Compression(_)));
    assert!(compression(changed("@groups", bytes(&[2, 1, 2]))));
    let AttributeValue::B(groups) = &map["@groups"] else { panic!("{map:?}") };
    assert!(compression(changed("@groups", bytes(&groups.as_ref()[..groups.as_ref().len() / 2]))));
}

/// 125 racers of the example's race, in its second minute. Their bytes are what a race costs.
#[test]
fn a_racer_takes_a_few_bytes_of_a_shared_item() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut racer = |racer: u32| {
        let second = 70 + i64::from(random.u8(..2));
        let sent_ms = 1_700_000_000_000 + second * 1_000 + i64::from(random.u16(..1_000));
        let output = f64::from(random.u32(600_000..1_900_000)) / 1e4;
        let mut ordinals = OrdinalSet::default();
        assert!((1..=second).all(|second| ordinals.insert(second)));
        let last = (second, sent_ms, output);
        let attributes: Vec<(SmolStr, Attribute)> = [
            ("output", Attribute::Number(output)),
            ("second", Attribute::Integer(second)),
            ("ts", Attribute::Integer(sent_ms)),
            ("seconds", Attribute::Integer(second)),
            ("finished", Attribute::Boolean(false)),
            ("classId", Attribute::Text("3".to_owned())),
            ("racerId", Attribute::Text(racer.to_string())),
        ]
        .map(|(name, value)| (name.into(), value))
        .into();
        let item = Item {
            revision: second as u64,
            // As the plugin of the example encodes it.
            state: postcard::to_allocvec(&(Some(last), None::<(i64, i64, f64)>, [(1_i64, second)].as_slice())).unwrap(),
            dedup: DedupState::Ordinal(ordinals),
            attributes,
            provenance: test_provenance(),
            reruled: false,
        };
        (Arc::from(format!("racer-{racer}")), Arc::new(item))
    };
    let groups = (0..1_000).step_by(8).map(&mut racer).collect();
    let content = Content { revision: 70, groups, moved: Moved::default() };
    let map = content.encode(&pack_key()).map;
    let bytes = content::size(&map);
    assert!(bytes <= 1_024, "{bytes} bytes of 125 racers are more than a write unit");
    let shown = shown::encode(&pack_key(), &shown_of(&[packing()]), &content).unwrap();
    let AttributeValue::M(outputs) = &shown["output"] else { panic!("{shown:?}") };
    assert_eq!((outputs.len(), &shown["SK"]), (125, &AttributeValue::S("@pack-007-shown".to_owned())));
    let nothing = shown_of(&[Packing { show: Vec::new(), ..packing() }]);
    assert_eq!(shown::encode(&pack_key(), &nothing, &content), None);
}

#[test]
fn what_is_too_large_for_an_item_is_not_shown() {
    let content = |racers: usize| {
        let group = |racer| (Arc::from(format!("racer-{racer:06}")), item(1, 0, attributes(0.5, false)));
        Content { revision: 1, groups: (0..racers).map(group).collect(), moved: Moved::default() }
    };
    let shown = |racers| shown::encode(&pack_key(), &shown_of(&[packing()]), &content(racers));
    assert!(documented_size(&shown(16_000).unwrap()) <= MAX_ITEM_BYTES);
    assert_eq!(shown(17_000), None);
}

#[test]
fn an_item_shows_what_any_of_the_packings_says() {
    let nothing = Packing { show: Vec::new(), ..packing() };
    let other = Packing { show: vec!["GSI".to_owned()], ..packing() };
    let groups = [("a", false), ("b", true)]
        .map(|(sort, is_final)| (Arc::from(sort), item(1, 9, attributes(0.5, is_final))))
        .into();
    let content = Content { revision: 1, groups, moved: Moved::default() };
    let shown = shown::encode(&pack_key(), &shown_of(&[nothing, packing(), other]), &content).unwrap();
    let sorts = |name: &str| match &shown[name] {
        AttributeValue::M(members) => members.keys().cloned().collect::<BTreeSet<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!((sorts("output"), sorts("GSI")), (["a", "b"].map(str::to_owned).into(), ["b".to_owned()].into()));
}
