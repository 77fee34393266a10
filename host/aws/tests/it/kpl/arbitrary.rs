//! Any message, damaged or not, is read as `prost` reads it.

use paceline_aws::kpl::hash_key;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use super::aggregates::{Aggregate, Inner, Seen, Tag, aggregate, framed, inner, outer, pack, unpacked, user, users};

/// The expected records of an aggregate with this message, by `prost`.
fn model(message: &[u8]) -> Vec<Seen> {
    let whole = || vec![outer(0, &framed(message))];
    if message.is_empty() {
        return whole();
    }
    let Ok(aggregate) = Aggregate::decode(message) else { return whole() };
    let mut seen = Vec::new();
    for (sub, record) in (0..).zip(aggregate.records) {
        let (Some(number), Some(data)) = (record.partition_key, record.data) else { return whole() };
        if record.tags.iter().any(|tag| tag.key.is_none()) {
            return whole();
        }
        let key = usize::try_from(number).ok().and_then(|number| aggregate.partition_keys.get(number));
        let key = key.and_then(|key| String::from_utf8(key.clone()).ok());
        let why = key.is_none().then(String::new);
        seen.push((0, sub, key, data, why));
    }
    seen
}

/// Unpacks an aggregate with this message. The text of a reason is not compared.
fn by_us(message: &[u8]) -> Vec<Seen> {
    let mut seen = unpacked(&[framed(message)]);
    seen.iter_mut().for_each(|seen| seen.4 = seen.4.take().map(|_| String::new()));
    seen
}

/// Messages of the format with tags, and with indexes that mostly are in the tables.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let bytes = |most| vec(any::<u8>(), 0..most);
    let tag = (proptest::option::weighted(0.9, bytes(4)), proptest::option::of(bytes(4)));
    let tags = vec(tag.prop_map(|(key, value)| Tag { key, value }), 0..2);
    let number = prop_oneof![20 => 0..3_u64, 1 => any::<u64>()];
    let record = (
        proptest::option::weighted(0.97, number.clone()),
        proptest::option::weighted(0.2, number),
        proptest::option::weighted(0.97, bytes(200)),
        tags,
    );
    let record = record.prop_map(|(partition_key, hash_key, data, tags)| Inner { partition_key, hash_key, data, tags });
    let key = prop_oneof![10 => "[a-z]{0,5}".prop_map(String::into_bytes), 1 => bytes(4)];
    (vec(key.clone(), 0..4), vec(key, 0..3), vec(record, 0..6)).prop_map(|(partition_keys, hash_keys, records)| {
        Aggregate { partition_keys, hash_keys, records }.encode_to_vec()
    })
}

/// Bytes that are frequent in messages: keys of fields, short numbers, and arbitrary ones.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let field = (0..6_u8, 0..8_u8).prop_map(|(number, wire_type)| number << 3 | wire_type);
    vec(prop_oneof![field, 0..12_u8, any::<u8>(), Just(0xff), Just(0x80)], 0..16)
}

proptest! {
    #[test]
    fn packed_user_records_are_unpacked_unchanged(users in users(60), max_bytes in 0..3_000_usize) {
        let packed = pack(&users, max_bytes);
        let payloads: Vec<_> = packed.iter().map(|packed| &packed.data).collect();
        let seen = unpacked(&payloads);
        prop_assert_eq!(seen.len(), users.len());
        let mut position = (0, 0);
        for (seen, user) in seen.into_iter().zip(&users) {
            let at = (seen.0, seen.1);
            prop_assert!(at == position || at == (position.0 + 1, 0), "{at:?} comes after {position:?}");
            position = (at.0, at.1 + 1);
            let packed = &packed[at.0 as usize];
            let alone = packed.data == user.data;
            let key = if alone { format!("outer-{}", at.0) } else { user.key.clone() };
            prop_assert_eq!(seen, (at.0, at.1, Some(key), user.data.clone(), None));
            if alone {
                prop_assert_eq!((&packed.partition_key, packed.explicit_hash_key), (&user.key, user.hash));
            } else {
                prop_assert!(packed.data.len() <= max_bytes, "{} > {max_bytes}", packed.data.len());
            }
            if at.1 == 0 && !alone {
                let hash = user.hash.unwrap_or_else(|| hash_key(&user.key));
                prop_assert_eq!((&*packed.partition_key, packed.explicit_hash_key), ("a", Some(hash)));
            }
        }
    }

    #[test]
    fn bytes_without_a_valid_frame_are_an_ordinary_record(
        bytes in vec(any::<u8>(), 0..300),
        magic in any::<bool>(),
    ) {
        let bytes = if magic { [&[0xf3, 0x89, 0x9a, 0xc2], &bytes[..]].concat() } else { bytes };
        prop_assert_eq!(unpacked(&[&bytes]), [outer(0, &bytes)]);
    }

    #[test]
    fn an_aggregate_with_a_bit_flipped_is_an_ordinary_record(users in users(20), bit in any::<prop::sample::Index>()) {
        prop_assume!(users.len() > 1);
        let mut damaged = aggregate(&users);
        let bit = bit.index(damaged.len() * 8);
        damaged[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(unpacked(&[&damaged]), [outer(0, &damaged)]);
    }

    #[test]
    fn messages_are_read_as_prost_reads_them(message in messages()) {
        prop_assert_eq!(by_us(&message), model(&message));
    }

    #[test]
    fn damaged_messages_are_read_as_prost_reads_them(
        message in messages(),
        at in any::<prop::sample::Index>(),
        out in 0..4_usize,
        put in fragments(),
    ) {
        let at = at.index(message.len() + 1);
        let mut message = message;
        message.splice(at..message.len().min(at + out), put);
        prop_assert_eq!(by_us(&message), model(&message));
    }

    #[test]
    fn any_message_is_read_as_prost_reads_it(message in fragments()) {
        prop_assert_eq!(by_us(&message), model(&message));
    }
}

#[test]
fn nested_groups_are_skipped_up_to_a_depth() {
    let nested = |depth: usize| {
        let record = Inner { partition_key: Some(0), data: Some(b"x".to_vec()), ..Inner::default() };
        let message = Aggregate { partition_keys: vec![b"k".to_vec()], hash_keys: vec![], records: vec![record] };
        let groups = std::iter::repeat_n(9 << 3 | 3, depth).chain(std::iter::repeat_n(9 << 3 | 4, depth));
        message.encode_to_vec().into_iter().chain(groups).collect::<Vec<u8>>()
    };
    for depth in [0, 1, 50] {
        assert_eq!(by_us(&nested(depth)), [inner(0, 0, &user("k", "x"))]);
        assert_eq!(model(&nested(depth)), [inner(0, 0, &user("k", "x"))]);
    }
    let deep = nested(100_000);
    assert_eq!(by_us(&deep), [outer(0, &framed(&deep))]);
}

#[test]
fn every_flipped_bit_of_an_aggregate_is_noticed() {
    let whole = aggregate(&[user("k", "one"), user("l", "two"), user("k", "")]);
    assert_eq!(unpacked(&[&whole]).len(), 3);
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(unpacked(&[&damaged]), [outer(0, &damaged)], "bit {bit}");
    }
}
