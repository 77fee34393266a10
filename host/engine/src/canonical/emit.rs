//! Writes the code of a function with its values canonicalized.
//!
//! A value is canonicalized on top of the stack: where it compares as equal with itself it stays, and otherwise the
//! canonical NaN takes its place. That takes a local, one for all values of a type, which are added behind the
//! function's own.

use std::ops::Range;

use wasm_encoder::{Encode, Ieee32, Ieee64, Instruction, ValType};
use wasmparser::FunctionBody;

use super::error::RewriteError;
use super::function::Findings;
use super::state::Shape;
use super::values::Mark;

/// Writes the body of a function of this file.
pub(super) fn body(
    wasm: &[u8],
    body: &FunctionBody<'_>,
    Findings { marks, locals }: &Findings,
) -> Result<Vec<u8>, RewriteError> {
    if marks.is_empty() {
        return Ok(body.as_bytes().to_vec());
    }
    let bytes = |range: Range<usize>| wasm.get(range).ok_or(RewriteError::Invalid("a function"));
    let declared = body.get_locals_reader()?;
    let code = body.get_operators_reader()?.original_position();
    let mut scratch = Scratch { types: Vec::new(), locals: *locals };
    let mut instructions = Vec::new();
    let mut copied = code;
    for mark in marks {
        let at = code + mark.at as usize;
        instructions.extend_from_slice(bytes(copied..at)?);
        copied = at;
        replace(*mark, scratch.local(mark.shape), &mut instructions);
    }
    let mut written = Vec::with_capacity(body.as_bytes().len() + instructions.len());
    (declared.get_count() as usize + scratch.types.len()).encode(&mut written);
    written.extend_from_slice(bytes(declared.original_position()..code)?);
    for ty in &scratch.types {
        1_u32.encode(&mut written);
        ty.encode(&mut written);
    }
    written.extend_from_slice(&instructions);
    written.extend_from_slice(bytes(copied..body.range().end)?);
    Ok(written)
}

/// The locals that are added.
struct Scratch {
    types: Vec<ValType>,
    /// The number of the function's own locals.
    locals: u32,
}

impl Scratch {
    /// The local for values of this shape.
    fn local(&mut self, shape: Shape) -> u32 {
        let ty = match shape {
            Shape::F32 => ValType::F32,
            Shape::F64 => ValType::F64,
            Shape::F32x4 | Shape::F64x2 => ValType::V128,
        };
        let found = self.types.iter().position(|&added| added == ty).unwrap_or_else(|| {
            self.types.push(ty);
            self.types.len() - 1
        });
        self.locals + found as u32
    }
}

/// Replaces what is on top of the stack with these bits where it is a NaN.
fn replace(Mark { shape, bits, .. }: Mark, local: u32, instructions: &mut Vec<u8>) {
    // Compilers test whether a scalar is greater than or equal with one jump; equality takes them two.
    let (nan, is_number, choose) = match shape {
        Shape::F32 => (Instruction::F32Const(Ieee32::new(bits as u32)), Instruction::F32Ge, Instruction::Select),
        Shape::F64 => (Instruction::F64Const(Ieee64::new(bits)), Instruction::F64Ge, Instruction::Select),
        Shape::F32x4 => {
            let lanes = u128::from(bits) * 0x1_0000_0001_0000_0001_0000_0001;
            (Instruction::V128Const(lanes as i128), Instruction::F32x4Eq, Instruction::V128Bitselect)
        }
        Shape::F64x2 => {
            let lanes = u128::from(bits) * 0x1_0000_0000_0000_0001;
            (Instruction::V128Const(lanes as i128), Instruction::F64x2Eq, Instruction::V128Bitselect)
        }
    };
    let get = || Instruction::LocalGet(local);
    for instruction in [Instruction::LocalTee(local), nan, get(), get(), is_number, choose] {
        instruction.encode(instructions);
    }
}
