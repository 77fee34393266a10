//! Dead letters, horizons and redrive sequences.

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use tokio::sync::Notify;

use super::*;

pub(super) fn letter(number: u64) -> DeadLetter {
    let position = RecordPosition { sequence: number.into(), sub_sequence: number % 3 };
    DeadLetter {
        id: DeadLetter::id_of("shard-1", position),
        shard: "shard-1".into(),
        position,
        partition_key: Some("k".into()),
        arrival_ms: Some(1_620_566_842_971),
        payload: format!("{{\"cadence\":{number}}}").into_bytes(),
        cut_from: None,
        reason: Reason::new(Cause::Rejected, "cadence").at("/cadence").under(&rulebook()),
        redrive_sequence: None,
        folded: (0..number % 2).map(|at| key("race-1", &format!("racer-{at}"))).collect(),
        unsure: number.is_multiple_of(5),
    }
}

#[tokio::test]
async fn a_horizon_is_written_by_whoever_has_read_the_one_before() {
    require!(DynamoDbLocal);
    let tables = Tables::new().await;
    let store = tables.store(WriteWith::Statements);
    assert_eq!(store.get_horizon("shard-1").await.unwrap(), None);
    let first = Horizon { version: 1, letters: Some(letter(7).position), ..Horizon::default() };
    assert!(store.put_horizon("shard-1", &first).await.unwrap());
    assert!(!store.put_horizon("shard-1", &first).await.unwrap());
    assert_eq!(store.get_horizon("shard-1").await.unwrap(), Some(first.clone()));
    let rules = RulesRevision { vetoes: 2, ..RulesRevision::new("registry", 17) };
    let second = Horizon { version: 2, rules: Some(rules), since_ms: 1_600_000_000_000, ..first };
    assert!(!store.put_horizon("shard-1", &Horizon { version: 3, ..second.clone() }).await.unwrap());
    assert!(store.put_horizon("shard-1", &second).await.unwrap());
    assert_eq!(store.get_horizon("shard-1").await.unwrap(), Some(second));
    assert_eq!(store.get_horizon("shard-2").await.unwrap(), None);
    assert_eq!(store.list_groups().await.unwrap(), [], "horizons are not items of groups");
}

#[tokio::test]
async fn dead_letters_are_stored_once_and_deleted() {
    require!(DynamoDbLocal);
    let tables = Tables::new().await;
    let store = tables.store(WriteWith::Statements);
    let mut letters: Vec<DeadLetter> = (0..60).map(letter).collect();
    let ids: Vec<String> = letters.iter().map(|letter| letter.id.clone()).collect();
    store.put_dead_letters(&[]).await.unwrap();
    store.put_dead_letters(&letters).await.unwrap();
    // Again, with another reason for one of them, which occurs twice.
    let before = letters[7].clone();
    letters[7].reason = Reason::new(Cause::BadScore, "NaN");
    store.put_dead_letters(&[&[before], &letters[..30], &letters[7..8]].concat()).await.unwrap();
    assert_eq!(store.list_dead_letters().await.unwrap(), letters);
    assert_eq!(store.get_dead_letter(&ids[7]).await.unwrap().as_ref(), Some(&letters[7]));
    assert_eq!(store.get_dead_letter("shard-1:999").await.unwrap(), None);
    assert_eq!(store.get_dead_letter("").await.unwrap(), None);
    store.delete_dead_letters(&[&ids[..40], &ids[..1]].concat()).await.unwrap();
    store.delete_dead_letters(&ids[..40]).await.unwrap();
    assert_eq!(store.list_dead_letters().await.unwrap(), letters[40..]);
}

#[tokio::test]
async fn a_dead_letter_that_is_too_large_is_cut_and_the_others_are_not() {
    require!(DynamoDbLocal);
    let tables = Tables::new().await;
    let store = tables.store(WriteWith::Statements);
    let mut letters: Vec<DeadLetter> = (0..4).map(letter).collect();
    letters[1].payload = vec![b'x'; 3 << 20];
    letters[2].payload = vec![b'x'; 256 << 10];
    store.put_dead_letters(&letters).await.unwrap();
    let found = store.list_dead_letters().await.unwrap();
    assert_eq!((&found[0], &found[2], &found[3]), (&letters[0], &letters[2], &letters[3]));
    assert_eq!((found[1].cut_from, found[1].payload.len() > 400_000), (Some(3 << 20), true));
}

#[tokio::test]
async fn a_redrive_sequence_is_assigned_once_and_stays() {
    require!(DynamoDbLocal);
    let tables = Tables::new().await;
    let store = tables.store(WriteWith::Statements);
    let letters: Vec<DeadLetter> = (0..5).map(letter).collect();
    let ids: Vec<String> = letters.iter().map(|letter| letter.id.clone()).collect();
    store.put_dead_letters(&letters).await.unwrap();
    let raw = async |id: &String| {
        let key = AttributeValue::S(id.clone());
        let answer = tables.client.get_item().table_name(tables.config.dead_letter_table()).key("id", key).send().await;
        answer.unwrap().item.unwrap()
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let expires: u64 = raw(&ids[0]).await["expires"].as_n().unwrap().parse().unwrap();
    assert!((now + 14 * 86_400 - 3600..=now + 14 * 86_400 + 60).contains(&expires), "{expires}");

    let redrive_sequences = |letters: &[DeadLetter]| -> Vec<(String, u64)> {
        letters.iter().map(|letter| (letter.id.clone(), letter.redrive_sequence.unwrap())).collect()
    };
    let pair = |at: usize, redrive_sequence: u64| (ids[at].clone(), redrive_sequence);
    let requested = [ids[3].clone(), ids[1].clone(), "shard-1:999".into(), ids[3].clone()];
    assert_eq!(redrive_sequences(&store.assign_redrive_sequences(&requested).await.unwrap()), [pair(3, 1), pair(1, 2)]);
    let other = tables.store(WriteWith::Items);
    assert_eq!(
        redrive_sequences(&other.assign_redrive_sequences(&ids).await.unwrap()),
        [(0, 3), (1, 2), (2, 4), (3, 1), (4, 5)].map(|(a, t)| pair(a, t))
    );
    assert_eq!(redrive_sequences(&store.assign_redrive_sequences(&ids[..2]).await.unwrap()), [pair(0, 3), pair(1, 2)]);
    assert_eq!(store.assign_redrive_sequences(&[]).await.unwrap(), []);
    let listed = store.list_dead_letters().await.unwrap();
    assert_eq!(
        redrive_sequences(&listed),
        [3, 2, 4, 1, 5].iter().enumerate().map(|(a, t)| pair(a, *t)).collect::<Vec<_>>()
    );

    // A letter that is stored again, or once more after it was deleted, is of the same record.
    store.put_dead_letters(&letters[3..4]).await.unwrap();
    assert_eq!(store.get_dead_letter(&ids[3]).await.unwrap().unwrap().redrive_sequence, Some(1));
    store.delete_dead_letters(&ids[3..]).await.unwrap();
    assert_eq!(store.assign_redrive_sequences(&ids[3..]).await.unwrap(), []);
    let known = store.known_dead_letters(&[&ids[2..], &["shard-1:999".to_owned()]].concat()).await.unwrap();
    assert_eq!(known, ids[2..].iter().cloned().collect());
    store.put_dead_letters(&letters[3..4]).await.unwrap();
    assert_eq!(redrive_sequences(&store.assign_redrive_sequences(&ids[3..4]).await.unwrap()), [pair(3, 1)]);
}

/// HTTP whose second request waits.
#[derive(Clone, Debug)]
struct Halting {
    http: SharedHttpClient,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    requests: AtomicU32,
    /// The second request is about to be sent.
    reached: Notify,
    /// It may be sent.
    opened: Notify,
}

impl HttpClient for Halting {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let connector = self.http.http_connector(settings, components);
        SharedHttpConnector::new(HaltingConnector { connector, gate: Arc::clone(&self.gate) })
    }
}

#[derive(Debug)]
struct HaltingConnector {
    connector: SharedHttpConnector,
    gate: Arc<Gate>,
}

impl HttpConnector for HaltingConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (connector, gate) = (self.connector.clone(), Arc::clone(&self.gate));
        HttpConnectorFuture::new(async move {
            if gate.requests.fetch_add(1, Ordering::Relaxed) == 1 {
                gate.reached.notify_one();
                gate.opened.notified().await;
            }
            connector.call(request).await
        })
    }
}

#[tokio::test]
async fn a_letter_that_is_redriven_between_the_reads_is_known() {
    require!(DynamoDbLocal);
    let tables = Tables::new().await;
    let gate = Arc::new(Gate::default());
    let settings = tables.client.config();
    let http = settings.http_client().expect("the client was made with one");
    let halting = settings.to_builder().http_client(Halting { http, gate: Arc::clone(&gate) });
    let host = DynamoDbStore::new(Client::from_conf(halting.build()), &tables.config);
    let operator = tables.store(WriteWith::Items);
    let redriven = letter(7);
    operator.put_dead_letters(std::slice::from_ref(&redriven)).await.unwrap();
    let ids = [redriven.id];
    let redrive = async {
        tokio::time::timeout(Duration::from_secs(60), gate.reached.notified()).await.expect("there are two requests");
        assert_eq!(operator.assign_redrive_sequences(&ids).await.unwrap().len(), 1);
        operator.delete_dead_letters(&ids).await.unwrap();
        gate.opened.notify_one();
    };
    let (known, ()) = tokio::join!(host.known_dead_letters(&ids), redrive);
    assert_eq!(known.unwrap(), HashSet::from(ids));
}

#[tokio::test]
async fn concurrent_hosts_never_assign_the_same_redrive_sequence() {
    require!(DynamoDbLocal);
    let tables = Tables::new().await;
    let letters: Vec<DeadLetter> = (0..40).map(letter).collect();
    let ids: Vec<String> = letters.iter().map(|letter| letter.id.clone()).collect();
    let (a, b) = (tables.store(WriteWith::Statements), tables.store(WriteWith::Statements));
    a.put_dead_letters(&letters).await.unwrap();
    let (a, b) = tokio::join!(a.assign_redrive_sequences(&ids), b.assign_redrive_sequences(&ids));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!(a, b);
    let redrive_sequences: std::collections::BTreeSet<_> =
        a.iter().map(|letter| letter.redrive_sequence.unwrap()).collect();
    assert_eq!(redrive_sequences.len(), 40);
}
