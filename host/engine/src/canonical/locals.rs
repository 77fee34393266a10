//! The locals of a function that can contain a NaN.

use wasmparser::{FuncType, FunctionBody, ValType};

use super::error::RewriteError;
use super::values::{CLEAN, NUMBER, Value};

/// Locals that a function may have: WebAssembly allows no more.
const LOCALS: u32 = 50_000;

/// Which locals are floats or vectors, and what they have now.
pub(super) struct Locals {
    /// Successive locals: the number behind the last, and the slot of the first if they can contain a NaN.
    runs: Vec<(u32, Option<u32>)>,
    count: u32,
    /// The value of each slot.
    pub(super) current: Vec<Value>,
}

/// Whether a value of this type can be a NaN.
pub(super) fn is_float(ty: ValType) -> bool {
    matches!(ty, ValType::F32 | ValType::F64 | ValType::V128)
}

impl Locals {
    /// The locals at the start of a function: what it is called with has the same bits everywhere, the others are zero.
    pub(super) fn new(ty: &FuncType, body: &FunctionBody<'_>) -> Result<Self, RewriteError> {
        let mut locals = Self { runs: Vec::new(), count: 0, current: Vec::new() };
        for &param in ty.params() {
            locals.declare(1, param, CLEAN)?;
        }
        for declared in body.get_locals_reader()? {
            let (count, ty) = declared?;
            locals.declare(count, ty, NUMBER)?;
        }
        Ok(locals)
    }

    fn declare(&mut self, count: u32, ty: ValType, value: Value) -> Result<(), RewriteError> {
        self.count =
            self.count.checked_add(count).filter(|&all| all <= LOCALS).ok_or(RewriteError::Invalid("locals"))?;
        let slot = is_float(ty).then_some(self.current.len() as u32);
        if slot.is_some() {
            self.current.resize(self.current.len() + count as usize, value);
        }
        self.runs.push((self.count, slot));
        Ok(())
    }

    /// The number of all locals.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Where the value of a local is, if it can contain a NaN.
    pub(super) fn slot(&self, local: u32) -> Result<Option<usize>, RewriteError> {
        let run = self.runs.partition_point(|&(end, _)| end <= local);
        let &(_, slot) = self.runs.get(run).ok_or(RewriteError::Invalid("a local"))?;
        let first = if run == 0 { 0 } else { self.runs[run - 1].0 };
        Ok(slot.map(|slot| (slot + local - first) as usize))
    }
}
