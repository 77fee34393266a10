//! The values of a function, which come from one another, and the answer to which of them are canonicalized.
//!
//! A value has a position in the code, just behind the instruction that leaves it on top of the stack: there it can be
//! canonicalized. A value without a position is one where control flow meets, in a local or below the top of the stack:
//! it can only be made clean by canonicalizing all that it comes from.

use super::state::{Nan, Shape, State, Via};

/// A value's number.
pub(super) type Value = u32;

/// Any value whose bits are the same on every processor. What flows into it is seen.
pub(super) const CLEAN: Value = 0;

/// Any value that is no NaN, whatever its bits are read as.
pub(super) const NUMBER: Value = 1;

/// The position of a value that has none.
const NOWHERE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Node {
    at: u32,
    state: State,
    /// Whether it is another one's bits, read from a local.
    is_copy: bool,
    /// Whether it flows into [`CLEAN`].
    is_seen: bool,
}

#[derive(Clone, Copy)]
struct Edge {
    from: Value,
    to: Value,
    via: Via,
}

/// The values of a function.
pub(super) struct Values {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

/// A value that is canonicalized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Its position.
    pub(super) at: u32,
    /// What its bits are read as.
    pub(super) shape: Shape,
    /// What the bits of a NaN are replaced with, in each lane.
    pub(super) bits: u64,
}

impl Values {
    pub(super) fn new() -> Self {
        let mut values = Self { nodes: Vec::new(), edges: Vec::new() };
        values.add(NOWHERE, State::Clean);
        values.add(NOWHERE, State::Number);
        values
    }

    fn add(&mut self, at: u32, state: State) -> Value {
        self.nodes.push(Node { at, state, is_copy: false, is_seen: false });
        (self.nodes.len() - 1) as Value
    }

    /// A value of which this is known.
    pub(super) fn known(&mut self, at: u32, state: State) -> Value {
        match state {
            State::Clean => CLEAN,
            State::Number => NUMBER,
            _ => self.add(at, state),
        }
    }

    /// The result of arithmetic.
    pub(super) fn fresh(&mut self, at: u32, shape: Shape) -> Value {
        self.add(at, State::Fresh(Nan { shape, negative: false }))
    }

    /// A value that comes from others: see [`flow`](Self::flow).
    pub(super) fn derived(&mut self, at: u32) -> Value {
        self.add(at, State::Number)
    }

    /// A value without a position that comes from others.
    pub(super) fn merged(&mut self) -> Value {
        self.add(NOWHERE, State::Number)
    }

    /// What is read from a local that has this value.
    pub(super) fn copied(&mut self, at: u32, from: Value) -> Value {
        if from == CLEAN || from == NUMBER {
            return from;
        }
        let copy = self.derived(at);
        self.nodes[copy as usize].is_copy = true;
        self.flow(from, copy, Via::Same);
        copy
    }

    /// Gives a merged value a position: it is on top of the stack there.
    pub(super) fn place(&mut self, value: Value, at: u32) {
        if value > NUMBER {
            self.nodes[value as usize].at = at;
        }
    }

    /// A value may come from another.
    pub(super) fn flow(&mut self, from: Value, to: Value, via: Via) {
        // Those two never change, so there is no need to remember that something comes from them.
        if from == CLEAN || from == NUMBER {
            let (state, _) = via.of(self.nodes[from as usize].state);
            if to > NUMBER {
                self.nodes[to as usize].state = self.nodes[to as usize].state.join(state);
            }
            return;
        }
        self.edges.push(Edge { from, to, via });
    }

    /// Something depends on the bits of a value.
    pub(super) fn see(&mut self, value: Value) {
        if value > NUMBER && !std::mem::replace(&mut self.nodes[value as usize].is_seen, true) {
            self.edges.push(Edge { from: value, to: CLEAN, via: Via::Same });
        }
    }

    /// The values that are canonicalized, in the order of the code.
    pub(super) fn marks(mut self) -> Vec<Mark> {
        if !self.nodes.iter().any(|node| matches!(node.state, State::Fresh(_))) {
            return Vec::new();
        }
        self.settle();
        let mut is_marked = vec![false; self.nodes.len()];
        for edge in self.edges.iter().filter(|edge| self.is_demanded(edge)) {
            is_marked[edge.from as usize] = true;
        }
        // What is read from a local is canonical already if the value was when it was stored.
        for &Edge { from, to, .. } in &self.edges {
            if self.nodes[to as usize].is_copy && is_marked[from as usize] {
                is_marked[to as usize] = false;
            }
        }
        let marked = self.nodes.iter().zip(is_marked).filter(|(_, is_marked)| *is_marked);
        let mut marks: Vec<_> = marked
            .filter_map(|(node, _)| match node.state {
                State::Fresh(nan) => Some(Mark { at: node.at, shape: nan.shape, bits: nan.bits() }),
                _ => None,
            })
            .collect();
        marks.sort_unstable_by_key(|mark| mark.at);
        marks
    }

    /// Raises the states until every value has that of all it may come from. They only ever rise, and four times at
    /// most.
    fn settle(&mut self) {
        let (outgoing, incoming) = (self.by(|edge| edge.from), self.by(|edge| edge.to));
        let mut raised: Vec<Value> = (0..self.nodes.len() as Value).collect();
        while let Some(value) = raised.pop() {
            for &edge in outgoing.of(value) {
                self.pass(edge, &mut raised);
            }
            // Where the result has to be clean, so has all that it comes from. What flows into `CLEAN` is seen to
            // above.
            if value != CLEAN && self.nodes[value as usize].state == State::Clean {
                for &edge in incoming.of(value) {
                    self.pass(edge, &mut raised);
                }
            }
        }
    }

    /// Raises the states of an edge's ends.
    fn pass(&mut self, edge: u32, raised: &mut Vec<Value>) {
        let edge = self.edges[edge as usize];
        let (state, _) = edge.via.of(self.nodes[edge.from as usize].state);
        self.raise(edge.to, state, raised);
        if self.is_demanded(&edge) && self.nodes[edge.from as usize].at == NOWHERE {
            self.raise(edge.from, State::Clean, raised);
        }
    }

    fn raise(&mut self, value: Value, state: State, raised: &mut Vec<Value>) {
        let node = &mut self.nodes[value as usize];
        let joined = node.state.join(state);
        if joined != node.state {
            node.state = joined;
            raised.push(value);
        }
    }

    /// Whether the value that an edge comes from has to be canonicalized.
    fn is_demanded(&self, edge: &Edge) -> bool {
        let from = self.nodes[edge.from as usize].state;
        let (_, is_seen) = edge.via.of(from);
        matches!(from, State::Fresh(_)) && (is_seen || self.nodes[edge.to as usize].state == State::Clean)
    }

    /// The edges, grouped by one of their ends.
    fn by(&self, end: impl Fn(&Edge) -> Value) -> Groups {
        let mut starts = vec![0; self.nodes.len() + 1];
        for edge in &self.edges {
            starts[end(edge) as usize + 1] += 1;
        }
        for node in 0..self.nodes.len() {
            starts[node + 1] += starts[node];
        }
        let (mut next, mut edges) = (starts.clone(), vec![0; self.edges.len()]);
        for (number, edge) in self.edges.iter().enumerate() {
            let next = &mut next[end(edge) as usize];
            edges[*next as usize] = number as u32;
            *next += 1;
        }
        Groups { starts, edges }
    }
}

/// The numbers of edges, grouped by a value.
struct Groups {
    starts: Vec<u32>,
    edges: Vec<u32>,
}

impl Groups {
    fn of(&self, value: Value) -> &[u32] {
        let value = value as usize;
        &self.edges[self.starts[value] as usize..self.starts[value + 1] as usize]
    }
}
