//! What each instruction does to the bits of NaNs. Control flow, calls, locals and `select` are not here.
//!
//! An instruction that is not named here sees all bits of its operands, and its results have the same bits on every
//! processor. That is true of all that do not compute with floats. The test `operators` of this crate compares this
//! list with all instructions that wasmparser knows.

use wasmparser::{Operator, for_each_operator};

use super::error::RewriteError;
use super::state::Shape::{self, F32, F32x4, F64, F64x2};
use super::state::{Nan, State};

/// What an instruction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It returns a constant, of whose bits this is known.
    Constant(State),
    /// It computes, with no regard to the bits of a NaN, and may return a NaN whose bits depend on the processor.
    Arithmetic {
        read: Shape,
        result: Shape,
    },
    /// It compares or makes integers, with no regard to the bits of a NaN.
    Observe(Shape),
    /// It makes a number from integers.
    Convert(Shape),
    Negate(Shape),
    Absolute(Shape),
    /// It returns one of its operands, lane by lane.
    Pick(Shape),
    Splat(Shape),
    Extract(Shape),
    Replace(Shape),
    /// It sees all bits.
    See,
}

/// What an instruction does.
pub(super) fn effect(operator: &Operator<'_>) -> Effect {
    use Operator::*;
    let arithmetic = |shape| Effect::Arithmetic { read: shape, result: shape };
    match operator {
        F32Const { value } => Effect::Constant(read_as(F32, value.bits().into())),
        F64Const { value } => Effect::Constant(read_as(F64, value.bits().into())),
        V128Const { value } => Effect::Constant(vector(value.i128() as u128)),

        F32Add | F32Sub | F32Mul | F32Div | F32Min | F32Max | F32Sqrt | F32Ceil | F32Floor | F32Trunc | F32Nearest => {
            arithmetic(F32)
        }
        F64Add | F64Sub | F64Mul | F64Div | F64Min | F64Max | F64Sqrt | F64Ceil | F64Floor | F64Trunc | F64Nearest => {
            arithmetic(F64)
        }
        F32x4Add | F32x4Sub | F32x4Mul | F32x4Div | F32x4Min | F32x4Max | F32x4Sqrt | F32x4Ceil | F32x4Floor
        | F32x4Trunc | F32x4Nearest | F32x4RelaxedMadd | F32x4RelaxedNmadd | F32x4RelaxedMin | F32x4RelaxedMax => {
            arithmetic(F32x4)
        }
        F64x2Add | F64x2Sub | F64x2Mul | F64x2Div | F64x2Min | F64x2Max | F64x2Sqrt | F64x2Ceil | F64x2Floor
        | F64x2Trunc | F64x2Nearest | F64x2RelaxedMadd | F64x2RelaxedNmadd | F64x2RelaxedMin | F64x2RelaxedMax => {
            arithmetic(F64x2)
        }
        F32DemoteF64 => Effect::Arithmetic { read: F64, result: F32 },
        F64PromoteF32 => Effect::Arithmetic { read: F32, result: F64 },
        F32x4DemoteF64x2Zero => Effect::Arithmetic { read: F64x2, result: F32x4 },
        F64x2PromoteLowF32x4 => Effect::Arithmetic { read: F32x4, result: F64x2 },

        F32Eq | F32Ne | F32Lt | F32Gt | F32Le | F32Ge | I32TruncF32S | I32TruncF32U | I64TruncF32S | I64TruncF32U
        | I32TruncSatF32S | I32TruncSatF32U | I64TruncSatF32S | I64TruncSatF32U => Effect::Observe(F32),
        F64Eq | F64Ne | F64Lt | F64Gt | F64Le | F64Ge | I32TruncF64S | I32TruncF64U | I64TruncF64S | I64TruncF64U
        | I32TruncSatF64S | I32TruncSatF64U | I64TruncSatF64S | I64TruncSatF64U => Effect::Observe(F64),
        F32x4Eq
        | F32x4Ne
        | F32x4Lt
        | F32x4Gt
        | F32x4Le
        | F32x4Ge
        | I32x4TruncSatF32x4S
        | I32x4TruncSatF32x4U
        | I32x4RelaxedTruncF32x4S
        | I32x4RelaxedTruncF32x4U => Effect::Observe(F32x4),
        F64x2Eq
        | F64x2Ne
        | F64x2Lt
        | F64x2Gt
        | F64x2Le
        | F64x2Ge
        | I32x4TruncSatF64x2SZero
        | I32x4TruncSatF64x2UZero
        | I32x4RelaxedTruncF64x2SZero
        | I32x4RelaxedTruncF64x2UZero => Effect::Observe(F64x2),

        F32ConvertI32S | F32ConvertI32U | F32ConvertI64S | F32ConvertI64U => Effect::Convert(F32),
        F64ConvertI32S | F64ConvertI32U | F64ConvertI64S | F64ConvertI64U => Effect::Convert(F64),
        F32x4ConvertI32x4S | F32x4ConvertI32x4U => Effect::Convert(F32x4),
        F64x2ConvertLowI32x4S | F64x2ConvertLowI32x4U => Effect::Convert(F64x2),

        F32Neg => Effect::Negate(F32),
        F64Neg => Effect::Negate(F64),
        F32x4Neg => Effect::Negate(F32x4),
        F64x2Neg => Effect::Negate(F64x2),
        F32Abs => Effect::Absolute(F32),
        F64Abs => Effect::Absolute(F64),
        F32x4Abs => Effect::Absolute(F32x4),
        F64x2Abs => Effect::Absolute(F64x2),

        F32x4PMin | F32x4PMax => Effect::Pick(F32x4),
        F64x2PMin | F64x2PMax => Effect::Pick(F64x2),
        F32x4Splat => Effect::Splat(F32x4),
        F64x2Splat => Effect::Splat(F64x2),
        F32x4ExtractLane { .. } => Effect::Extract(F32x4),
        F64x2ExtractLane { .. } => Effect::Extract(F64x2),
        F32x4ReplaceLane { .. } => Effect::Replace(F32x4),
        F64x2ReplaceLane { .. } => Effect::Replace(F64x2),

        _ => Effect::See,
    }
}

/// What is known of a float, or of a vector, if its bits are read as this shape.
fn read_as(shape: Shape, bits: u128) -> State {
    let (lane_bits, lanes, infinity) = match shape {
        F32 => (32, 1, u128::from(f32::INFINITY.to_bits())),
        F64 => (64, 1, u128::from(f64::INFINITY.to_bits())),
        F32x4 => (32, 4, u128::from(f32::INFINITY.to_bits())),
        F64x2 => (64, 2, u128::from(f64::INFINITY.to_bits())),
    };
    let sign: u128 = 1 << (lane_bits - 1);
    let lane = |lane: u32| {
        let bits = (bits >> (lane * lane_bits)) & (sign | (sign - 1));
        let nan = Nan { shape, negative: bits & sign != 0 };
        match bits {
            // A NaN is greater than infinity, but for the sign.
            _ if bits & !sign <= infinity => State::NumberAs(shape),
            _ if bits == nan.bits().into() => State::Canonical(nan),
            _ => State::Clean,
        }
    };
    (0..lanes).map(lane).fold(State::NumberAs(shape), State::join)
}

/// What is known of a vector's bits, which may be read as either shape.
fn vector(bits: u128) -> State {
    match (read_as(F32x4, bits), read_as(F64x2, bits)) {
        (State::NumberAs(_), State::NumberAs(_)) => State::Number,
        (State::Clean, state) | (state, _) => state,
    }
}

/// How many values an instruction takes, and how many it leaves, if that does not depend on types. Instructions of
/// proposals that the sandbox does not have are refused.
pub(super) fn arity(operator: &Operator<'_>) -> Result<Option<(u8, u8)>, RewriteError> {
    macro_rules! arity {
        ($pops:literal -> $pushes:literal) => {
            Some(($pops, $pushes))
        };
        (custom) => {
            None
        };
    }
    macro_rules! arities {
        ($( @$proposal:ident $operator:ident $({ $($field:ident: $type:ty),* })? => $visit:ident (arity $($arity:tt)*) )*) => {
            match operator {
                $( Operator::$operator { .. } => (stringify!($proposal), arity!($($arity)*)), )*
                _ => ("unknown", None),
            }
        };
    }
    let (proposal, arity) = for_each_operator!(arities);
    match proposal {
        "mvp"
        | "sign_extension"
        | "saturating_float_to_int"
        | "bulk_memory"
        | "reference_types"
        | "tail_call"
        | "simd"
        | "relaxed_simd" => Ok(arity),
        _ => Err(RewriteError::Proposal(proposal)),
    }
}
