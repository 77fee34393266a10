//! Pins, checkpoints and notices.

use super::*;

pub(super) fn race(value: &str) -> PinKey {
    PinKey { race_type: "3".into(), value: value.into() }
}

pub(super) fn pin(version: u64) -> Pin {
    Pin { rulebook: [version as u8; 32].into(), revision: version }
}

#[tokio::test]
async fn a_pin_expires_after_its_days() {
    require!(DynamoDbLocal);
    let tables = Tables::new().await;
    let pin_of = |value: &str| PinKey { race_type: "3".to_owned(), value: value.to_owned() };
    let pin = Pin { rulebook: [9; 32].into(), revision: 4 };
    tables.store(WriteWith::Items).put_pins(&[(pin_of("131"), pin)]).await.unwrap();
    let for_ever = DynamoDbConfig { pin_days: 0, ..tables.config.clone() };
    DynamoDbStore::new(tables.client.clone(), &for_ever).put_pins(&[(pin_of("132"), pin)]).await.unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let expires = tables.raw(&key("@pin/3", "=131")).await.unwrap()["@expires"].as_n().unwrap().parse::<u64>().unwrap();
    assert!((now + 400 * 86_400 - 3600..=now + 400 * 86_400 + 60).contains(&expires), "{expires}");
    assert!(!tables.raw(&key("@pin/3", "=132")).await.unwrap().contains_key("@expires"));
}

#[tokio::test]
async fn the_first_pin_of_a_race_holds() {
    require!(DynamoDbLocal);
    let tables = Tables::new().await;
    let (ours, theirs) = (tables.store(WriteWith::Statements), tables.store(WriteWith::Items));
    let long = "é".repeat(5000);
    let races = [race("1"), race(""), race(&long), race(&format!("{long}x"))];
    assert_eq!(ours.get_pins(&races).await.unwrap(), [None; 4]);
    assert_eq!(ours.get_pins(&[]).await.unwrap(), []);
    let pins: Vec<(PinKey, Pin)> = races.iter().cloned().zip(1..).map(|(race, version)| (race, pin(version))).collect();
    assert_eq!(ours.put_pins(&pins[..3]).await.unwrap(), [pin(1), pin(2), pin(3)]);
    let later: Vec<(PinKey, Pin)> = races.iter().map(|race| (race.clone(), pin(9))).chain([pins[0].clone()]).collect();
    assert_eq!(theirs.put_pins(&later).await.unwrap(), [pin(1), pin(2), pin(3), pin(9), pin(1)]);
    let requested: Vec<PinKey> = races.iter().rev().cloned().chain([race("2"), race("1")]).collect();
    let found = [Some(pin(9)), Some(pin(3)), Some(pin(2)), Some(pin(1)), None, Some(pin(1))];
    assert_eq!(theirs.get_pins(&requested).await.unwrap(), found);
    // More than fit into one request.
    let many: Vec<PinKey> = (0..150).map(|number| race(&format!("many-{number}"))).collect();
    let pins: Vec<(PinKey, Pin)> = many.iter().map(|race| (race.clone(), pin(5))).collect();
    assert_eq!(ours.put_pins(&pins).await.unwrap(), vec![pin(5); 150]);
    assert_eq!(theirs.get_pins(&many).await.unwrap(), vec![Some(pin(5)); 150]);
    assert_eq!(ours.list_groups().await.unwrap(), [], "pins are not items of groups");
    let listed = ours.list_pins("3", 1_000).await.unwrap();
    assert_eq!(listed.len(), 154);
    assert!(listed.contains(&(race("1"), pin(1))) && listed.contains(&(race("many-149"), pin(5))));
    assert_eq!(ours.list_pins("3", 7).await.unwrap(), listed[..7]);
    assert_eq!(ours.list_pins("4", 7).await.unwrap(), []);
}

#[tokio::test]
async fn each_shard_has_a_checkpoint() {
    require!(DynamoDbLocal);
    let tables = Tables::new().await;
    let store = tables.store(WriteWith::Statements);
    let long = "/a/long/path".repeat(200);
    assert_eq!(store.get_checkpoint("shard-1").await.unwrap(), None);
    store.flush().await.unwrap();
    let first = Checkpoint { sequence: 7.into(), ..Checkpoint::default() };
    let sequence = "49590338271490256608559692538361571095921575989136588898".parse().unwrap();
    let second = Checkpoint { sequence, fingerprint: Some([3; 32]), arrival_ms: Some(1_620_240_660_250), ended: true };
    store.put_checkpoint("shard-1", &first).await.unwrap();
    assert_eq!(store.get_checkpoint("shard-1").await.unwrap(), Some(first.clone()));
    store.put_checkpoint("shard-1", &second).await.unwrap();
    store.put_checkpoint(&long, &first).await.unwrap();
    assert_eq!(tables.store(WriteWith::Items).get_checkpoint("shard-1").await.unwrap(), Some(second));
    assert_eq!(store.get_checkpoint(&long).await.unwrap(), Some(first));
    assert_eq!(store.list_groups().await.unwrap(), [], "checkpoints are not items of groups");
}

#[tokio::test]
async fn notices_are_kept_by_topic_and_name() {
    require!(DynamoDbLocal);
    let tables = Tables::new().await;
    let (ours, theirs) = (tables.store(WriteWith::Statements), tables.store(WriteWith::Items));
    check_notices(&ours, &theirs).await;
    // More than a page of a query, which has 1 MB.
    for number in 0..5 {
        let body = format!("\"{}\"", "x".repeat(300_000));
        let notice = Notice { name: format!("n{number}"), body, version: 1, expires: None };
        assert!(ours.put_notice("large", &notice, Expected::Nothing).await.unwrap());
    }
    let names: Vec<String> =
        theirs.list_notices("large").await.unwrap().into_iter().map(|notice| notice.name).collect();
    assert_eq!(names, ["n0", "n1", "n2", "n3", "n4"]);
    assert_eq!(ours.list_groups().await.unwrap(), [], "notices are not items of groups");
    assert_eq!(ours.list_partition("@rules/hosts").await.unwrap(), []);

    tables.put_raw(&key("@rules/hosts", "by-hand"), &[]).await;
    let text = fatal(ours.list_notices("hosts").await);
    assert_contains(&text, &[&tables.config.table, "@rules/hosts", "by-hand", "Delete the item"]);
}
