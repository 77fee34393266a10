//! A block of a function, and what is known at its label: the place that branches to it go to.

use super::state::Via;
use super::values::{CLEAN, Value, Values};

/// A block's kind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Block,
    Loop,
    If,
}

/// A block.
pub(super) struct Frame {
    pub(super) kind: Kind,
    /// Operands below the block's own.
    pub(super) height: usize,
    pub(super) is_unreachable: bool,
    /// The values that a branch hands over: a loop's parameters, or the results.
    pub(super) label: Vec<Value>,
    pub(super) results: usize,
    /// The locals at the label, once it is reached, and whether each is a merged value of this label's own.
    pub(super) locals: Option<Vec<(Value, bool)>>,
    /// What the other arm of an `if` begins with.
    pub(super) params: Vec<Value>,
    pub(super) locals_of_else: Vec<Value>,
}

impl Frame {
    /// A block that begins above so many operands.
    pub(super) fn new(kind: Kind, height: usize, label: Vec<Value>, results: usize) -> Self {
        Self {
            kind,
            height,
            is_unreachable: false,
            label,
            results,
            locals: None,
            params: Vec::new(),
            locals_of_else: Vec::new(),
        }
    }
}

/// A value is handed over to a label.
pub(super) fn meet(values: &mut Values, from: Value, to: Value) {
    match to {
        CLEAN => values.see(from),
        _ => values.flow(from, to, Via::Same),
    }
}

/// The locals of a label are these, too.
pub(super) fn meet_locals(values: &mut Values, current: &[Value], label: &mut Option<Vec<(Value, bool)>>) {
    let Some(label) = label else {
        *label = Some(current.iter().map(|&value| (value, false)).collect());
        return;
    };
    for (&value, (merged, is_own)) in current.iter().zip(label) {
        if value == *merged {
            continue;
        }
        if !*is_own {
            let before = std::mem::replace(merged, values.merged());
            *is_own = true;
            values.flow(before, *merged, Via::Same);
        }
        values.flow(value, *merged, Via::Same);
    }
}
