//! The operand stack, the blocks and the locals of a function while its code is read, as WebAssembly's validation has
//! them.
//!
//! Where control flow meets, in a local or in a result of a block, a value comes from several. In a function with very
//! many such places that would take time out of proportion to its size. Such a function is read again, coarsely: a
//! local has one value then that comes from all that is stored in it, and what a branch hands over is canonicalized.

use wasmparser::{BlockType, FuncType, ValType};

use super::error::RewriteError;
use super::frame::{Frame, Kind, meet, meet_locals};
use super::locals::{Locals, is_float};
use super::module::{Signatures, single_result};
use super::state::Via;
use super::values::{CLEAN, NUMBER, Value, Values};

/// Operands on the stack at once: far more than any function has, in 4 MiB.
const OPERANDS: usize = 1 << 20;

/// The state of a function while its code is read.
pub(super) struct Machine<'a> {
    signatures: &'a Signatures,
    pub(super) values: Values,
    stack: Vec<Value>,
    frames: Vec<Frame>,
    locals: Locals,
    budget: Budget,
}

/// How many values may meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Budget {
    /// So many more.
    Left(u32),
    /// More did. What was read is of no use.
    Exceeded,
    /// The function is read coarsely.
    Coarse,
}

impl<'a> Machine<'a> {
    /// The state at the start of a function.
    pub(super) fn new(signatures: &'a Signatures, ty: &FuncType, mut locals: Locals, budget: Budget) -> Self {
        let mut values = Values::new();
        if budget == Budget::Coarse {
            for current in &mut locals.current {
                let merged = values.merged();
                values.flow(*current, merged, Via::Same);
                *current = merged;
            }
        }
        let mut machine = Self { signatures, values, stack: Vec::new(), frames: Vec::new(), locals, budget };
        // The results are seen.
        machine.push_frame(Kind::Block, vec![CLEAN; ty.results().len()], ty.results().len());
        machine
    }

    pub(super) fn budget(&self) -> Budget {
        self.budget
    }

    /// Whether the function has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn push(&mut self, value: Value) -> Result<(), RewriteError> {
        if self.stack.len() >= OPERANDS {
            return Err(RewriteError::Invalid("the operand stack"));
        }
        self.stack.push(value);
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Result<Value, RewriteError> {
        let frame = self.frames.last().ok_or(RewriteError::Invalid("code behind the end"))?;
        match self.stack.len() > frame.height {
            true => Ok(self.stack.pop().expect("the stack is higher than the frame's")),
            // Code that is never reached may take what it likes.
            false if frame.is_unreachable => Ok(NUMBER),
            false => Err(RewriteError::Invalid("an operand")),
        }
    }

    /// Takes operands all of whose bits are seen.
    pub(super) fn pop_seen(&mut self, count: usize) -> Result<(), RewriteError> {
        for _ in 0..count {
            let value = self.pop()?;
            self.values.see(value);
        }
        Ok(())
    }

    pub(super) fn get_local(&mut self, local: u32, at: u32) -> Result<(), RewriteError> {
        let copied = match self.locals.slot(local)? {
            Some(slot) => self.values.copied(at, self.locals.current[slot]),
            None => CLEAN,
        };
        self.push(copied)
    }

    pub(super) fn set_local(&mut self, local: u32) -> Result<(), RewriteError> {
        let value = self.pop()?;
        if let Some(slot) = self.locals.slot(local)? {
            match self.budget {
                Budget::Coarse => self.values.flow(value, self.locals.current[slot], Via::Same),
                Budget::Left(_) | Budget::Exceeded => self.locals.current[slot] = value,
            }
        }
        Ok(())
    }

    fn push_frame(&mut self, kind: Kind, label: Vec<Value>, results: usize) {
        self.frames.push(Frame::new(kind, self.stack.len(), label, results));
    }

    pub(super) fn enter_block(&mut self, ty: BlockType) -> Result<(), RewriteError> {
        let single = single_result(ty);
        let (params, results) = self.signatures.block(ty, &single)?;
        let params = self.pop_all(params.len())?;
        let label = self.merged(results);
        self.push_frame(Kind::Block, label, results.len());
        self.push_all(&params)
    }

    pub(super) fn enter_if(&mut self, ty: BlockType) -> Result<(), RewriteError> {
        self.pop()?;
        self.enter_block(ty)?;
        let keeps_locals = self.charge(self.locals.current.len());
        let frame = self.frames.last_mut().expect("it was entered");
        frame.kind = Kind::If;
        frame.params = self.stack[frame.height..].to_vec();
        if keeps_locals {
            frame.locals_of_else.clone_from(&self.locals.current);
        }
        Ok(())
    }

    pub(super) fn enter_loop(&mut self, ty: BlockType) -> Result<(), RewriteError> {
        let single = single_result(ty);
        let (params, results) = self.signatures.block(ty, &single)?;
        let entering = self.pop_all(params.len())?;
        let label = self.merged(params);
        for (&from, &to) in entering.iter().zip(&label) {
            meet(&mut self.values, from, to);
        }
        self.push_frame(Kind::Loop, label.clone(), results.len());
        if self.charge(self.locals.current.len()) {
            let mut merged = Vec::with_capacity(self.locals.current.len());
            for current in &mut self.locals.current {
                let value = self.values.merged();
                self.values.flow(*current, value, Via::Same);
                *current = value;
                merged.push((value, true));
            }
            self.frames.last_mut().expect("it was entered").locals = Some(merged);
        }
        self.push_all(&label)
    }

    /// From the end of an `if`'s first arm to the start of the other.
    pub(super) fn enter_else(&mut self) -> Result<(), RewriteError> {
        self.branch(0)?;
        let frame = self.frames.last_mut().filter(|frame| frame.kind == Kind::If);
        let frame = frame.ok_or(RewriteError::Invalid("an `else`"))?;
        (frame.kind, frame.is_unreachable) = (Kind::Block, false);
        self.stack.truncate(frame.height);
        if self.budget != Budget::Coarse {
            self.locals.current = std::mem::take(&mut frame.locals_of_else);
        }
        let params = std::mem::take(&mut frame.params);
        self.push_all(&params)
    }

    pub(super) fn end(&mut self, at: u32) -> Result<(), RewriteError> {
        let kind = self.frames.last().ok_or(RewriteError::Invalid("an `end`"))?.kind;
        if kind == Kind::If {
            self.enter_else()?;
        }
        if kind == Kind::Loop {
            let results = self.frames.last().map_or(0, |frame| frame.results);
            let results = self.pop_all(results)?;
            let frame = self.frames.pop().expect("it is there");
            self.stack.truncate(frame.height);
            return self.push_all(&results);
        }
        self.branch(0)?;
        let frame = self.frames.pop().expect("it is there");
        self.stack.truncate(frame.height);
        if let Some(merged) = frame.locals {
            self.locals.current = merged.into_iter().map(|(value, _)| value).collect();
        }
        if let Some(&top) = frame.label.last() {
            self.values.place(top, at);
        }
        self.push_all(&frame.label)
    }

    /// What follows is not reached.
    pub(super) fn end_reachable(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            self.stack.truncate(frame.height);
            frame.is_unreachable = true;
        }
    }

    pub(super) fn branch_out(&mut self) -> Result<(), RewriteError> {
        self.branch(self.frames.len().saturating_sub(1) as u32)
    }

    /// A branch that may be taken. Its operands stay.
    pub(super) fn branch(&mut self, depth: u32) -> Result<(), RewriteError> {
        let target = self.frames.len().checked_sub(1 + depth as usize).ok_or(RewriteError::Invalid("a label"))?;
        let innermost = &self.frames[self.frames.len() - 1];
        if innermost.is_unreachable {
            return Ok(());
        }
        let arity = self.frames[target].label.len();
        let operands = self.stack.len().checked_sub(arity).filter(|&rest| rest >= innermost.height);
        let operands = operands.ok_or(RewriteError::Invalid("an operand of a branch"))?;
        if self.budget != Budget::Coarse && !self.charge(arity + self.locals.current.len()) {
            return Ok(());
        }
        let frame = &mut self.frames[target];
        for (&from, &to) in self.stack[operands..].iter().zip(&frame.label) {
            meet(&mut self.values, from, to);
        }
        if self.budget != Budget::Coarse && target > 0 {
            meet_locals(&mut self.values, &self.locals.current, &mut frame.locals);
        }
        Ok(())
    }

    /// Whether so many values may meet. Always false where the function is read coarsely.
    fn charge(&mut self, count: usize) -> bool {
        if let Budget::Left(left) = self.budget {
            let left = u32::try_from(count).ok().and_then(|count| left.checked_sub(count));
            self.budget = left.map_or(Budget::Exceeded, Budget::Left);
        }
        matches!(self.budget, Budget::Left(_))
    }

    fn merged(&mut self, types: &[ValType]) -> Vec<Value> {
        let is_coarse = self.budget == Budget::Coarse;
        let merged = |&ty| if is_float(ty) && !is_coarse { self.values.merged() } else { CLEAN };
        types.iter().map(merged).collect()
    }

    fn pop_all(&mut self, count: usize) -> Result<Vec<Value>, RewriteError> {
        let mut popped = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        popped.reverse();
        Ok(popped)
    }

    fn push_all(&mut self, values: &[Value]) -> Result<(), RewriteError> {
        values.iter().try_for_each(|&value| self.push(value))
    }
}
