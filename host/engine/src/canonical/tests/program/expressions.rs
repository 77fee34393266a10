//! Code that leaves a value of a type on the stack.

use super::Ty::{self, F32, F64, I32, I64, V128};
use super::Writer;

const F64_CONSTANTS: [&str; 14] = [
    "0",
    "-0",
    "1",
    "-1.5",
    "inf",
    "-inf",
    "nan",
    "-nan",
    "nan:0x4000000000001",
    "-nan:0xfffffffffffff",
    "1e308",
    "0x1p-1074",
    "3.75",
    "-2147483649",
];
const F32_CONSTANTS: [&str; 12] =
    ["0", "-0", "1", "-1.5", "inf", "-inf", "nan", "-nan", "nan:0x200001", "-nan:0x7fffff", "3e38", "0x1p-149"];
const V128_CONSTANTS: [&str; 7] = [
    "i64x2 0 0",
    "f64x2 nan -nan:0x1",
    "f32x4 nan -nan 1 -0",
    "f64x2 1.5 -inf",
    "f32x4 inf 2 -3e38 0x1p-149",
    "i64x2 -1 0",
    "i64x2 0x7ff8000000000001 0x3ff000007fc00001",
];
const SCALAR: [&str; 15] = [
    "add", "sub", "mul", "div", "min", "max", "copysign", "abs", "neg", "sqrt", "ceil", "floor", "trunc", "nearest",
    "neg",
];
const VECTOR: [&str; 16] = [
    "add", "sub", "mul", "div", "min", "max", "pmin", "pmax", "abs", "neg", "sqrt", "ceil", "floor", "trunc",
    "nearest", "neg",
];

impl Writer<'_> {
    pub(super) fn constant(&mut self, ty: Ty) {
        let text = match ty {
            I32 => format!("i32.const {}", self.choice(4)),
            I64 => format!("i64.const {}", self.pick(&["0", "1", "0x7ff8000000000001", "-1"])),
            F32 => format!("f32.const {}", self.pick(&F32_CONSTANTS)),
            F64 => format!("f64.const {}", self.pick(&F64_CONSTANTS)),
            V128 => format!("v128.const {}", self.pick(&V128_CONSTANTS)),
        };
        self.write(text);
    }

    /// Code that leaves a value of this type.
    pub(super) fn expression(&mut self, ty: Ty, depth: u32) {
        let (local, name) = (self.pick(ty.locals()), ty.text());
        match self.choice(if depth == 0 { 3 } else { 16 }) {
            0 | 3 => self.write(format!("local.get {local}")),
            1 => self.constant(ty),
            2 => {
                let at = self.choice(120);
                self.write(format!("i32.const {at} {name}.load"));
            }
            4 => {
                self.expression(ty, depth - 1);
                self.expression(ty, depth - 1);
                self.expression(I32, depth - 1);
                self.write(if ty == V128 { "select (result v128)" } else { "select" });
            }
            5 => {
                self.expression(ty, depth - 1);
                self.write(format!("local.tee {local}"));
            }
            6 => {
                self.expression(I32, depth - 1);
                self.write(format!("if (result {name})"));
                self.block(vec![ty], |writer| writer.expression(ty, depth - 1));
                self.write("else");
                self.block(vec![ty], |writer| {
                    writer.statement(depth - 1);
                    writer.expression(ty, depth - 1);
                });
                self.write("end");
            }
            _ => self.operation(ty, depth - 1),
        }
    }

    fn operation(&mut self, ty: Ty, depth: u32) {
        match ty {
            F32 | F64 => self.float_operation(ty, depth),
            V128 => self.vector_operation(depth),
            I32 => {
                let (operands, operator): (&[Ty], _) = self.pick(&[
                    (&[F64, F64][..], "f64.lt"),
                    (&[F64, F64], "f64.ne"),
                    (&[F32, F32], "f32.ge"),
                    (&[F32], "i32.reinterpret_f32"),
                    (&[F64], "i32.trunc_sat_f64_s"),
                    (&[F32], "i32.trunc_sat_f32_u"),
                    (&[F64], "i32.trunc_f64_s"),
                    (&[V128], "v128.any_true"),
                    (&[V128], "i64x2.all_true"),
                    (&[V128], "i8x16.bitmask"),
                    (&[V128], "i32x4.extract_lane 1"),
                    (&[I32, I32], "i32.and"),
                ]);
                self.apply(operands, operator, depth);
            }
            I64 => {
                let (operands, operator): (&[Ty], _) = self.pick(&[
                    (&[F64][..], "i64.reinterpret_f64"),
                    (&[F64], "i64.trunc_sat_f64_u"),
                    (&[V128], "i64x2.extract_lane 1"),
                ]);
                self.apply(operands, operator, depth);
            }
        }
    }

    fn apply(&mut self, operands: &[Ty], operator: &str, depth: u32) {
        operands.iter().for_each(|&ty| self.expression(ty, depth));
        self.write(operator);
    }

    fn float_operation(&mut self, ty: Ty, depth: u32) {
        let (name, other, vector, bits) =
            if ty == F32 { ("f32", F64, "f32x4", I32) } else { ("f64", F32, "f64x2", I64) };
        match self.choice(8) {
            0 => self.apply(&[other], if ty == F32 { "f32.demote_f64" } else { "f64.promote_f32" }, depth),
            1 => self.apply(&[V128], &format!("{vector}.extract_lane 1"), depth),
            2 => self.apply(&[bits], &format!("{name}.reinterpret_{}", bits.text()), depth),
            3 => self.apply(&[I32], &format!("{name}.convert_i32_s"), depth),
            _ => {
                let operator = self.choice(SCALAR.len());
                let operands = if operator < 7 { &[ty, ty][..] } else { &[ty] };
                self.apply(operands, &format!("{name}.{}", SCALAR[operator]), depth);
            }
        }
    }

    fn vector_operation(&mut self, depth: u32) {
        let shape = self.pick(&["f32x4", "f64x2"]);
        let (lane, three) = if shape == "f32x4" { (F32, "f32x4.relaxed_madd") } else { (F64, "f64x2.relaxed_nmadd") };
        match self.choice(10) {
            0 => self.apply(&[lane], &format!("{shape}.splat"), depth),
            1 => self.apply(&[V128, lane], &format!("{shape}.replace_lane 1"), depth),
            2 => self.apply(&[V128, V128, V128], three, depth),
            3 => {
                let operator = self.pick(&[
                    "f32x4.demote_f64x2_zero",
                    "f64x2.promote_low_f32x4",
                    "f64x2.convert_low_i32x4_s",
                    "f32x4.convert_i32x4_u",
                    "i32x4.trunc_sat_f32x4_s",
                    "i32x4.trunc_sat_f64x2_u_zero",
                    "v128.not",
                    "i32x4.abs",
                ]);
                self.apply(&[V128], operator, depth);
            }
            4 => {
                let operator = self.pick(&[
                    "v128.and",
                    "v128.or",
                    "v128.xor",
                    "i64x2.add",
                    "i8x16.swizzle",
                    "f32x4.lt",
                    "f64x2.ge",
                    "f32x4.relaxed_min",
                    "f64x2.relaxed_max",
                    "i8x16.shuffle 0 17 2 19 4 21 6 23 8 25 10 27 12 29 14 31",
                ]);
                self.apply(&[V128, V128], operator, depth);
            }
            5 => self.apply(&[V128, V128, V128], "v128.bitselect", depth),
            _ => {
                let operator = self.choice(VECTOR.len());
                let operands = if operator < 8 { &[V128, V128][..] } else { &[V128] };
                self.apply(operands, &format!("{shape}.{}", VECTOR[operator]), depth);
            }
        }
    }
}
