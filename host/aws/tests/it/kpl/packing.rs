//! User records packed into aggregates.

use paceline_aws::kpl::{Aggregator, Packed, hash_key};

use super::aggregates::{UserRecord, aggregate, inner, pack, unpacked, user};

#[test]
fn a_single_user_record_is_sent_as_it_is() {
    let expected = Packed { partition_key: "k".into(), explicit_hash_key: None, data: b"alone".to_vec() };
    assert_eq!(pack(&[user("k", "alone")], 51_200), std::slice::from_ref(&expected));
    let hashed = UserRecord { hash: Some(7), ..user("k", "alone") };
    assert_eq!(pack(&[hashed], 51_200), [Packed { explicit_hash_key: Some(7), ..expected }]);
    assert!(pack(&[], 51_200).is_empty());
}

#[test]
fn an_aggregate_has_the_hash_key_of_its_first_user_record() {
    let packed = pack(&[user("k", "one"), UserRecord { hash: Some(7), ..user("l", "two") }], 51_200);
    assert_eq!((&*packed[0].partition_key, packed[0].explicit_hash_key), ("a", Some(hash_key("k"))));
    let packed = pack(&[UserRecord { hash: Some(7), ..user("l", "two") }, user("k", "one")], 51_200);
    assert_eq!((&*packed[0].partition_key, packed[0].explicit_hash_key), ("a", Some(7)));
}

#[test]
fn a_single_user_record_that_is_itself_an_aggregate_is_packed() {
    let users = [UserRecord { data: aggregate(&[user("k", "one"), user("l", "two")]), ..user("m", "") }];
    assert_eq!(unpacked(&[aggregate(&users)]), [inner(0, 0, &users[0])]);
}

#[test]
fn an_aggregate_is_filled_exactly_to_its_limit() {
    let users = [user("k", "one"), user("l", "two")];
    let bytes = aggregate(&users).len();
    assert_eq!(pack(&users, bytes).len(), 1);
    assert_eq!(pack(&users, bytes - 1).len(), 2);
    let mut aggregator = Aggregator::default();
    users.iter().for_each(|user| assert_eq!(aggregator.add(&user.key, user.hash, &user.data), None));
    assert_eq!((aggregator.len(), aggregator.bytes()), (2, bytes));
}
