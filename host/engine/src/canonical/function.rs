//! Reads the code of a function, and finds the values that have to be canonicalized.

use wasmparser::{FuncType, FunctionBody, Operator};

use super::control::{Budget, Machine};
use super::error::RewriteError;
use super::locals::Locals;
use super::module::Signatures;
use super::operator::{Effect, arity, effect};
use super::state::{Shape, State, Via};
use super::values::{CLEAN, Mark, NUMBER};

/// How many values may meet in a function, for each byte of its code and beside that: several times what compilers make
/// of dense numeric code.
const MEETINGS_PER_BYTE: u32 = 16;
const MEETINGS: u32 = 1 << 10;

/// How many values may meet in a large function: they take some tens of megabytes.
const MOST_MEETINGS: u32 = 1 << 20;

/// What has to be done to the code of a function.
pub(super) struct Findings {
    /// Their positions count from the first instruction.
    pub(super) marks: Vec<Mark>,
    /// The number of its locals.
    pub(super) locals: u32,
}

/// Finds the values that have to be canonicalized.
pub(super) fn read(signatures: &Signatures, ty: &FuncType, body: &FunctionBody<'_>) -> Result<Findings, RewriteError> {
    let bytes = u32::try_from(body.as_bytes().len()).map_err(|_| RewriteError::Invalid("the length of a function"))?;
    let most = bytes.saturating_mul(MEETINGS_PER_BYTE).saturating_add(MEETINGS).min(MOST_MEETINGS);
    match read_within(signatures, ty, body, Budget::Left(most))? {
        Some(findings) => Ok(findings),
        None => read_within(signatures, ty, body, Budget::Coarse)?.ok_or(RewriteError::Invalid("a function")),
    }
}

/// `None` if the budget does not suffice.
pub(super) fn read_within(
    signatures: &Signatures,
    ty: &FuncType,
    body: &FunctionBody<'_>,
    budget: Budget,
) -> Result<Option<Findings>, RewriteError> {
    let locals = Locals::new(ty, body)?;
    let count = locals.count();
    let mut machine = Machine::new(signatures, ty, locals, budget);
    let mut reader = body.get_operators_reader()?;
    let start = reader.original_position();
    while !reader.eof() {
        let operator = reader.read()?;
        let at = (reader.original_position() - start) as u32;
        step(&mut machine, signatures, &operator, at)?;
        if machine.budget() == Budget::Exceeded {
            return Ok(None);
        }
    }
    if !machine.has_ended() {
        return Err(RewriteError::Invalid("the end of a function"));
    }
    Ok(Some(Findings { marks: machine.values.marks(), locals: count }))
}

fn step(
    machine: &mut Machine<'_>,
    signatures: &Signatures,
    operator: &Operator<'_>,
    at: u32,
) -> Result<(), RewriteError> {
    match *operator {
        Operator::Block { blockty } => machine.enter_block(blockty),
        Operator::Loop { blockty } => machine.enter_loop(blockty),
        Operator::If { blockty } => machine.enter_if(blockty),
        Operator::Else => machine.enter_else(),
        Operator::End => machine.end(at),
        Operator::Br { relative_depth } => {
            machine.branch(relative_depth)?;
            machine.end_reachable();
            Ok(())
        }
        Operator::BrIf { relative_depth } => {
            machine.pop()?;
            machine.branch(relative_depth)
        }
        Operator::BrTable { ref targets } => {
            machine.pop()?;
            for target in targets.targets() {
                machine.branch(target?)?;
            }
            machine.branch(targets.default())?;
            machine.end_reachable();
            Ok(())
        }
        Operator::Return => {
            machine.branch_out()?;
            machine.end_reachable();
            Ok(())
        }
        Operator::Unreachable => {
            machine.end_reachable();
            Ok(())
        }
        Operator::Call { function_index } => call(machine, signatures.function(function_index)?),
        Operator::CallIndirect { type_index, .. } => {
            machine.pop()?;
            call(machine, signatures.ty(type_index)?)
        }
        Operator::ReturnCall { function_index } => {
            machine.pop_seen(signatures.function(function_index)?.params().len())?;
            machine.end_reachable();
            Ok(())
        }
        Operator::ReturnCallIndirect { type_index, .. } => {
            machine.pop()?;
            machine.pop_seen(signatures.ty(type_index)?.params().len())?;
            machine.end_reachable();
            Ok(())
        }
        Operator::LocalGet { local_index } => machine.get_local(local_index, at),
        Operator::LocalSet { local_index } => machine.set_local(local_index),
        Operator::LocalTee { local_index } => {
            let value = machine.pop()?;
            machine.push(value)?;
            machine.set_local(local_index)?;
            let copied = machine.values.copied(at, value);
            machine.push(copied)
        }
        Operator::Drop => machine.pop().map(drop),
        Operator::Select | Operator::TypedSelect { .. } => {
            machine.pop()?;
            merge(machine, Via::Same, Via::Same, at)
        }
        _ => apply(machine, operator, at),
    }
}

fn call(machine: &mut Machine<'_>, ty: &FuncType) -> Result<(), RewriteError> {
    machine.pop_seen(ty.params().len())?;
    ty.results().iter().try_for_each(|_| machine.push(CLEAN))
}

/// What an instruction without control flow does.
fn apply(machine: &mut Machine<'_>, operator: &Operator<'_>, at: u32) -> Result<(), RewriteError> {
    let (pops, pushes) = arity(operator)?.ok_or(RewriteError::Invalid("an instruction"))?;
    match effect(operator) {
        Effect::Constant(state) => {
            let constant = machine.values.known(at, state);
            machine.push(constant)
        }
        Effect::Arithmetic { read, result } => {
            pop_read(machine, pops, read)?;
            let result = machine.values.fresh(at, result);
            machine.push(result)
        }
        Effect::Observe(read) => {
            pop_read(machine, pops, read)?;
            machine.push(CLEAN)
        }
        Effect::Convert(shape) => {
            machine.pop_seen(pops.into())?;
            let converted = machine.values.known(at, State::NumberAs(shape));
            machine.push(converted)
        }
        Effect::Negate(shape) => derive(machine, Via::Negated(shape), at),
        Effect::Absolute(shape) => derive(machine, Via::Absolute(shape), at),
        Effect::Splat(shape) => derive(machine, Via::ToLane(shape), at),
        Effect::Extract(shape) => derive(machine, Via::OfLane(shape), at),
        Effect::Pick(shape) => merge(machine, Via::SameAs(shape), Via::SameAs(shape), at),
        Effect::Replace(shape) => merge(machine, Via::SameAs(shape), Via::ToLane(shape), at),
        Effect::See => {
            machine.pop_seen(pops.into())?;
            (0..pushes).try_for_each(|_| machine.push(CLEAN))
        }
    }
}

/// Takes operands of which only what any NaN gives is seen.
fn pop_read(machine: &mut Machine<'_>, count: u8, shape: Shape) -> Result<(), RewriteError> {
    for _ in 0..count {
        let operand = machine.pop()?;
        // A scalar is never read as another shape.
        if matches!(shape, Shape::F32x4 | Shape::F64x2) {
            machine.values.flow(operand, NUMBER, Via::Read(shape));
        }
    }
    Ok(())
}

/// A value that comes from one operand.
fn derive(machine: &mut Machine<'_>, via: Via, at: u32) -> Result<(), RewriteError> {
    let operand = machine.pop()?;
    let result = match operand {
        CLEAN => CLEAN,
        _ => machine.values.derived(at),
    };
    machine.values.flow(operand, result, via);
    machine.push(result)
}

/// A value that comes from two operands.
fn merge(machine: &mut Machine<'_>, of_lower: Via, of_upper: Via, at: u32) -> Result<(), RewriteError> {
    let (upper, lower) = (machine.pop()?, machine.pop()?);
    let result = match (lower, upper) {
        (CLEAN, CLEAN) => CLEAN,
        _ => machine.values.derived(at),
    };
    machine.values.flow(lower, result, of_lower);
    machine.values.flow(upper, result, of_upper);
    machine.push(result)
}
