//! Places won and lost in leaderboards.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use paceline_config::LeaderboardConfig;
use paceline_pipeline::model::{Attribute, Item, Key};
use paceline_pipeline::replay::{ItemPair, Top};

/// The places in the leaderboards of one kind.
pub(super) struct Places {
    /// The name of the leaderboard in the configuration.
    pub(super) board: String,
    /// The attribute that orders them.
    pub(super) order_by: String,
    /// How many leaderboards there are: one for each race, for example.
    pub(super) boards: u64,
    /// How many of them differ.
    pub(super) changed: u64,
    /// How many of them have another first.
    pub(super) other_first: u64,
    pub(super) up: u64,
    pub(super) down: u64,
    /// Groups that only the rulebook gives a place.
    pub(super) appeared: u64,
    /// Groups that only the other one gives a place.
    pub(super) gone: u64,
    /// The largest moves.
    pub(super) moves: Vec<Move>,
    /// The places of groups that were named, moved or not.
    pub(super) named: Vec<Move>,
}

/// A group, from place to place. Places count from 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Move {
    pub(super) key: Key,
    /// The place by what the rulebook is compared with.
    pub(super) from: Option<usize>,
    /// The place by the rulebook.
    pub(super) to: Option<usize>,
    /// The attribute that orders the leaderboard, by both.
    pub(super) values: (Option<Attribute>, Option<Attribute>),
}

impl Places {
    /// The places of groups, which are sorted by key.
    pub(super) fn of(
        (name, board): (&str, &LeaderboardConfig),
        pairs: &[ItemPair],
        named: &BTreeSet<String>,
        limit: usize,
    ) -> Self {
        let mut places = Self {
            board: name.to_owned(),
            order_by: board.order_by.clone(),
            boards: 0,
            changed: 0,
            other_first: 0,
            up: 0,
            down: 0,
            appeared: 0,
            gone: 0,
            moves: Vec::new(),
            named: Vec::new(),
        };
        let mut top = Top::new(limit);
        let partitions = pairs.chunk_by(|a, b| a.key.partition == b.key.partition);
        for pairs in partitions.filter(|pairs| board.partition.matches(&pairs[0].key.partition)) {
            places.add(board, pairs, &mut top);
            let of_named = moves(board, pairs).filter(|found| named.contains(found.key.sort.as_str()));
            let room = limit.saturating_sub(places.named.len());
            places.named.extend(of_named.take(room));
        }
        places.moves = top.into_items();
        places
    }

    /// Adds one leaderboard.
    fn add(&mut self, board: &LeaderboardConfig, pairs: &[ItemPair], top: &mut Top<Move>) {
        let (mut is_changed, mut is_there) = (false, false);
        for found in moves(board, pairs) {
            is_there = true;
            let counter = match (found.from, found.to) {
                (Some(from), Some(to)) => match to.cmp(&from) {
                    Ordering::Equal => continue,
                    Ordering::Less => &mut self.up,
                    Ordering::Greater => &mut self.down,
                },
                (None, _) => &mut self.appeared,
                (_, None) => &mut self.gone,
            };
            *counter += 1;
            is_changed = true;
            self.other_first += u64::from(found.to == Some(1));
            // Who has no place counts as after the last.
            let place = |place: Option<usize>| place.unwrap_or(pairs.len() + 1);
            let distance = place(found.from).abs_diff(place(found.to));
            top.add(distance as f64, || found);
        }
        self.boards += u64::from(is_there);
        self.changed += u64::from(is_changed);
    }
}

/// All groups that have a place in a leaderboard by one of the two, by key.
fn moves<'p>(board: &'p LeaderboardConfig, pairs: &'p [ItemPair]) -> impl Iterator<Item = Move> + 'p {
    let against = ranks(board, pairs, |pair| pair.against.as_ref());
    let rules = ranks(board, pairs, |pair| pair.rules.as_ref());
    let ranks = against.into_iter().zip(rules);
    pairs.iter().zip(ranks).filter(|(_, ranks)| *ranks != (None, None)).map(|(pair, (from, to))| {
        let value = |item: &Option<Item>| item.as_ref().and_then(|item| item.attribute(&board.order_by)).cloned();
        Move { key: pair.key.clone(), from, to, values: (value(&pair.against), value(&pair.rules)) }
    })
}

/// The place of each group.
fn ranks(
    board: &LeaderboardConfig,
    pairs: &[ItemPair],
    item: impl Fn(&ItemPair) -> Option<&Item>,
) -> Vec<Option<usize>> {
    let items = pairs.iter().enumerate().filter_map(|(at, pair)| Some((at, item(pair)?)));
    let mut shown: Vec<(usize, &Item)> = items.filter(|(_, item)| board.shows(item)).collect();
    shown.sort_by(|(_, a), (_, b)| board.compare(a, b));
    let mut ranks = vec![None; pairs.len()];
    for (place, (at, _)) in (1..).zip(shown) {
        ranks[at] = Some(place);
    }
    ranks
}
