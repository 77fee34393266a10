//! The core under any sequence of events, against a model that is computed from all events at each step.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn id(number: usize) -> Arc<str> {
    format!("shardId-{number:012}").into()
}

fn shard(number: usize, parents: &[usize]) -> Shard {
    let parents = parents.iter().map(|parent| id(*parent)).collect();
    Shard { id: id(number), parents, hash_range: (0, u128::MAX), closed: false }
}

fn state(core: &Core, number: usize) -> Option<ShardState> {
    let shards = core.shards(0, Instant::now());
    shards.into_iter().find(|(found, _)| *found == id(number)).map(|(_, status)| status.state)
}

fn reason(core: &Core) -> String {
    core.not_ready().map_or_else(|| "ready".to_owned(), |reason| reason.to_string())
}

fn read(core: &mut Core, number: usize) {
    core.received(&id(number), Received::default());
}

#[test]
fn a_consumer_is_not_ready_before_every_listed_shard_was_read() {
    let mut core = Core::default();
    assert_eq!(reason(&core), "the stream's shards are not known yet");
    core.listed(vec![shard(0, &[]), shard(1, &[])]);
    assert_eq!(reason(&core), "shardId-000000000000 is starting, and 1 others", "they are known and not begun");
    assert_eq!(core.begin().len(), 2);
    assert_eq!(reason(&core), "shardId-000000000000 is starting, and 1 others");
    read(&mut core, 0);
    assert_eq!(reason(&core), "shardId-000000000001 is starting");
    read(&mut core, 1);
    assert_eq!(core.not_ready(), None);
}

#[test]
fn a_consumer_is_not_ready_between_a_shards_end_and_the_first_records_of_its_children() {
    let mut core = Core::default();
    core.listed(vec![shard(0, &[])]);
    core.begin();
    read(&mut core, 0);
    assert_eq!(core.not_ready(), None);
    core.done(&id(0), vec![shard(1, &[0]), shard(2, &[0])]);
    assert_eq!(reason(&core), "shardId-000000000001 is starting, and 1 others");
    assert_eq!(core.begin().len(), 2);
    read(&mut core, 2);
    assert_eq!(reason(&core), "shardId-000000000001 is starting");
    read(&mut core, 1);
    assert_eq!(core.not_ready(), None);
    assert_eq!(state(&core, 0), Some(ShardState::Done));
}

#[test]
fn a_child_of_a_merge_waits_without_making_the_consumer_unready() {
    let mut core = Core::default();
    core.listed(vec![shard(0, &[]), shard(1, &[])]);
    core.begin();
    (0..2).for_each(|number| read(&mut core, number));
    core.done(&id(0), vec![shard(2, &[0, 1])]);
    assert_eq!(
        (core.not_ready(), state(&core, 2)),
        (None, Some(ShardState::Waiting)),
        "its other parent is being read"
    );
    assert_eq!(core.begin(), []);
    core.done(&id(1), vec![shard(2, &[0, 1])]);
    assert_eq!(reason(&core), "shardId-000000000002 is starting");
    assert_eq!(core.begin(), [shard(2, &[0, 1])]);
}

#[test]
fn a_shard_that_a_later_listing_adds_makes_the_consumer_unready_until_it_is_read() {
    let mut core = Core::default();
    core.listed(vec![shard(0, &[])]);
    core.begin();
    read(&mut core, 0);
    core.listed(vec![shard(0, &[]), shard(7, &[])]);
    assert_eq!(reason(&core), "shardId-000000000007 is starting");
}

#[test]
fn a_failing_shard_makes_the_consumer_unready() {
    let mut core = Core::default();
    core.listed(vec![shard(0, &[])]);
    core.begin();
    read(&mut core, 0);
    core.request_failed(&id(0), true, Instant::now());
    assert_eq!(core.not_ready(), None, "throttling is no failure");
    core.request_failed(&id(0), false, Instant::now());
    assert_eq!(reason(&core), "shardId-000000000000 is failing");
    read(&mut core, 0);
    assert_eq!(core.not_ready(), None);
}

#[test]
fn shards_that_are_done_are_forgotten_once_they_are_not_listed_unless_they_lost_records() {
    let mut core = Core::default();
    core.listed(vec![shard(0, &[]), shard(1, &[])]);
    core.begin();
    (0..2).for_each(|number| read(&mut core, number));
    core.done(&id(0), vec![]);
    core.done(&id(1), vec![]);
    core.expired(&id(1), 1.5);
    core.listed(vec![shard(2, &[0]), shard(3, &[1])]);
    assert_eq!((state(&core, 0), state(&core, 1)), (None, Some(ShardState::Done)));
    let (_, lost) = core.shards(0, Instant::now()).into_iter().find(|(found, _)| *found == id(1)).unwrap();
    assert_eq!(lost.reader.unwrap().expired_hours, 1.5);
}

#[test]
fn a_parent_that_is_neither_listed_nor_known_has_expired() {
    let mut core = Core::default();
    core.listed(vec![shard(1, &[0])]);
    assert_eq!(core.begin(), [shard(1, &[0])], "an expired parent is not waited for");
    let later = [shard(1, &[0]), shard(3, &[1, 2]), shard(4, &[2]), shard(5, &[4])];
    let expired = core.expired_parents(&later);
    assert_eq!(expired, [(id(3), id(2)), (id(4), id(2))], "0 belongs to a shard that was known before");
    core.expired(&id(2), 0.0);
    assert_eq!(core.expired_parents(&later), [], "it is reported once");
    core.listed(later.to_vec());
    assert_eq!(state(&core, 2), Some(ShardState::Done), "and is not waited for");
    assert_eq!(core.begin(), [shard(4, &[2])]);
}

/// An event, with indexes into what it may happen to.
#[derive(Clone, Debug)]
enum Event {
    List,
    Begin,
    Received(prop::sample::Index),
    Failed(prop::sample::Index, bool),
    /// A shard ends; it splits, or merges with another that is open. Its end names the children, or does not.
    Ends {
        which: prop::sample::Index,
        splits: bool,
        names_children: bool,
    },
    /// The oldest shard of the stream expires if it is done.
    Expires,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let index = any::<prop::sample::Index>;
    let event = prop_oneof![
        3 => Just(Event::List),
        4 => Just(Event::Begin),
        6 => index().prop_map(Event::Received),
        2 => (index(), any::<bool>()).prop_map(|(which, throttled)| Event::Failed(which, throttled)),
        3 => (index(), any::<bool>(), any::<bool>())
            .prop_map(|(which, splits, names_children)| Event::Ends { which, splits, names_children }),
        1 => Just(Event::Expires),
    ];
    prop::collection::vec(event, 1..80)
}

/// The events, kept in the simplest way.
#[derive(Default)]
struct Model {
    /// All shards that the stream ever had.
    stream: Vec<Shard>,
    expired: usize,
    listed: bool,
    known: BTreeSet<Arc<str>>,
    /// Begun shards with the outcome of the last request: none, success, or failure.
    begun: BTreeMap<Arc<str>, Option<bool>>,
    done: BTreeSet<Arc<str>>,
}

impl Model {
    /// Whether a shard has to be read.
    fn has_to_be_read(&self, shard: &Shard) -> bool {
        let is_free = |parent: &Arc<str>| self.done.contains(parent) || !self.known.contains(parent);
        self.known.contains(&shard.id) && !self.done.contains(&shard.id) && shard.parents.iter().all(is_free)
    }

    fn is_ready(&self) -> bool {
        let is_read = |shard: &Shard| self.begun.get(&shard.id) == Some(&Some(true));
        self.listed && self.stream.iter().filter(|shard| self.has_to_be_read(shard)).all(is_read)
    }

    fn reading(&self) -> Vec<Arc<str>> {
        self.begun.keys().filter(|id| !self.done.contains(*id)).cloned().collect()
    }
}

proptest! {
    /// Whatever happens in whatever order: the consumer is ready exactly while every shard that has to be read is being
    /// read, and each shard is begun once, after its parents.
    #[test]
    fn ready_means_that_every_shard_that_has_to_be_read_is_being_read(events in events()) {
        let mut core = Core::default();
        let mut model = Model { stream: vec![shard(0, &[]), shard(1, &[])], ..Model::default() };
        for event in events {
            let reading = model.reading();
            match event {
                Event::List => {
                    let listed: Vec<Shard> = model.stream[model.expired..].to_vec();
                    model.known.extend(listed.iter().map(|shard| Arc::clone(&shard.id)));
                    model.listed = true;
                    core.listed(listed);
                }
                Event::Begin => for begun in core.begin() {
                    prop_assert!(model.has_to_be_read(&begun), "{} may not be read yet", begun.id);
                    prop_assert!(model.begun.insert(Arc::clone(&begun.id), None).is_none(), "{} twice", begun.id);
                }
                Event::Received(which) if !reading.is_empty() => {
                    let id = which.get(&reading);
                    core.received(id, Received::default());
                    model.begun.insert(Arc::clone(id), Some(true));
                }
                Event::Failed(which, throttled) if !reading.is_empty() => {
                    let id = which.get(&reading);
                    core.request_failed(id, throttled, Instant::now());
                    if !throttled {
                        model.begun.insert(Arc::clone(id), Some(false));
                    }
                }
                Event::Ends { which, splits, names_children } if !reading.is_empty() => {
                    let ended = Arc::clone(which.get(&reading));
                    let number = |id: &str| id.rsplit('-').next().unwrap().parse::<usize>().unwrap();
                    let next = model.stream.len();
                    let is_child = |shard: &&Shard| shard.parents.contains(&ended);
                    let has_children = model.stream.iter().any(|shard| is_child(&shard));
                    let merges_with = reading.iter().find(|other| {
                        **other != ended && !model.stream.iter().any(|shard| shard.parents.contains(*other))
                    });
                    let children = match (has_children, splits, merges_with) {
                        (true, ..) => model.stream.iter().filter(is_child).cloned().collect(),
                        (false, false, Some(other)) => vec![shard(next, &[number(&ended), number(other)])],
                        _ => vec![shard(next, &[number(&ended)]), shard(next + 1, &[number(&ended)])],
                    };
                    if !has_children {
                        model.stream.extend(children.iter().cloned());
                    }
                    model.done.insert(Arc::clone(&ended));
                    let given = if names_children { children } else { Vec::new() };
                    model.known.extend(given.iter().map(|shard| Arc::clone(&shard.id)));
                    core.done(&ended, given);
                }
                Event::Expires if model.done.contains(&id(model.expired)) => model.expired += 1,
                _ => {}
            }
            prop_assert_eq!(core.not_ready().is_none(), model.is_ready(), "{}", reason(&core));
        }
    }
}

#[test]
fn a_standstill_lasts_from_the_failure_of_the_last_shard_that_was_read() {
    let (began, second) = (Instant::now(), Duration::from_secs(1));
    let mut core = Core::default();
    let since = |core: &Core, now: Instant| core.standstill(began, now).map(|standstill| standstill.time);
    assert_eq!(since(&core, began + 9 * second), Some(9 * second), "the shards can't be listed");
    core.listed(vec![shard(0, &[]), shard(1, &[])]);
    core.begin();
    assert_eq!(since(&core, began + 9 * second), None, "the first requests are under way");
    read(&mut core, 0);
    core.request_failed(&id(1), false, began + 10 * second);
    assert_eq!(since(&core, began + 99 * second), None, "one shard is read");
    core.request_failed(&id(0), false, began + 20 * second);
    core.request_failed(&id(0), false, began + 30 * second);
    assert_eq!(since(&core, began + 50 * second), Some(30 * second));
    let text = core.standstill(began, began + 50 * second).unwrap().to_string();
    assert_eq!(text, "no shard has been read for 30 s: shardId-000000000000 is failing, and 1 others");
    read(&mut core, 1);
    assert_eq!(since(&core, began + 50 * second), None);
    core.done(&id(0), Vec::new());
    core.done(&id(1), Vec::new());
    assert_eq!(since(&core, began + 99 * second), None, "nothing has to be read");
}
