//! Makes up programs that compute with floats: valid modules, from any bytes. Each has a function `run` that ends, takes
//! nothing and returns a value of each type of float, and exports its memory and its globals.

use std::fmt::Write;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ty {
    I32,
    I64,
    F32,
    F64,
    V128,
}
use Ty::{F32, F64, I32, I64, V128};

impl Ty {
    const FLOATS: [Self; 3] = [F32, F64, V128];

    fn text(self) -> &'static str {
        match self {
            I32 => "i32",
            I64 => "i64",
            F32 => "f32",
            F64 => "f64",
            V128 => "v128",
        }
    }

    /// The locals of the type.
    fn locals(self) -> &'static [u32] {
        match self {
            F32 => &[0, 3, 4],
            F64 => &[1, 5, 6],
            V128 => &[2, 7, 8],
            I32 => &[9],
            I64 => &[10],
        }
    }
}

/// The first of the locals that count the rounds of loops, one for each depth.
const COUNTERS: u32 = 11;
const NESTED_LOOPS: u32 = 3;

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

struct Writer<'a> {
    choices: std::slice::Iter<'a, u8>,
    text: String,
    /// The results of the blocks around, the innermost last. `None` for loops, which are left by their own branch only.
    labels: Vec<Option<Vec<Ty>>>,
    loops: u32,
}

/// The text of the program that these choices stand for.
pub(super) fn text(choices: &[u8]) -> String {
    let mut writer = Writer { choices: choices.iter(), text: String::new(), labels: Vec::new(), loops: 0 };
    let data: String =
        (0..64).map(|_| format!("\\{:02x}\\{:02x}\\f8\\7f", writer.choice(256), writer.choice(256))).collect();
    let mut module = format!(
        "(module (memory (export \"memory\") 1) (data (i32.const 0) \"{data}\")
            (global $f32 (export \"f32\") (mut f32) (f32.const 0))
            (global $f64 (export \"f64\") (mut f64) (f64.const nan:0x123))
            (global $v128 (export \"v128\") (mut v128) (v128.const i64x2 0 0))
            (func $pair (param f64 v128) (result v128 f64)  local.get 1  local.get 1  f64x2.sqrt  f64x2.pmin  local.get 0  f64.neg)
            (func (export \"run\") (result f32 f64 v128)"
    );
    for ty in Ty::FLOATS {
        writer.constant(ty);
    }
    module += &std::mem::take(&mut writer.text);
    module += " call $body)
            (func $body (param f32 f64 v128) (result f32 f64 v128)
                (local f32 f32 f64 f64 v128 v128 i32 i64 i32 i32 i32)";
    writer.labels.push(Some(Ty::FLOATS.to_vec()));
    while !writer.choices.as_slice().is_empty() {
        writer.statement(4);
    }
    for ty in Ty::FLOATS {
        writer.expression(ty, 2);
    }
    module + &writer.text + "))"
}

impl Writer<'_> {
    /// A number below `most`, 0 where the choices are used up.
    fn choice(&mut self, most: usize) -> usize {
        self.choices.next().map_or(0, |&byte| usize::from(byte) % most)
    }

    fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        let choice = self.choice(among.len());
        among[choice]
    }

    fn write(&mut self, text: impl std::fmt::Display) {
        write!(self.text, " {text}").unwrap();
    }

    fn constant(&mut self, ty: Ty) {
        let text = match ty {
            I32 => format!("i32.const {}", self.choice(4)),
            I64 => format!("i64.const {}", self.pick(&["0", "1", "0x7ff8000000000001", "-1"])),
            F32 => format!("f32.const {}", self.pick(&F32_CONSTANTS)),
            F64 => format!("f64.const {}", self.pick(&F64_CONSTANTS)),
            V128 => format!("v128.const {}", self.pick(&V128_CONSTANTS)),
        };
        self.write(text);
    }

    fn statements(&mut self, depth: u32) {
        for _ in 0..=self.choice(3) {
            self.statement(depth);
        }
    }

    fn statement(&mut self, depth: u32) {
        let ty = self.pick(&Ty::FLOATS);
        let local = self.pick(ty.locals());
        match self.choice(if depth == 0 { 6 } else { 14 }) {
            0 | 1 => {
                self.expression(ty, depth);
                self.write(format!("local.set {local}"));
            }
            2 => {
                let at = 256 + 16 * self.choice(32);
                self.write(format!("i32.const {at}"));
                self.expression(ty, depth);
                self.write(format!("{}.store", ty.text()));
            }
            3 => {
                self.expression(ty, depth);
                self.write(format!("global.set ${}", ty.text()));
            }
            4 => self.branch(depth),
            5 => {
                self.write("i32.const 512");
                self.expression(V128, depth);
                let lane = self.pick(&["8_lane 3", "16_lane 5", "32_lane 2", "64_lane 1"]);
                self.write(format!("v128.store{lane}"));
            }
            6 | 7 => {
                self.expression(I32, depth - 1);
                self.write("if");
                self.block(vec![], |writer| writer.statements(depth - 1));
                self.write("else");
                self.block(vec![], |writer| writer.statements(depth - 1));
                self.write("end");
            }
            8 => {
                self.write("block");
                self.block(vec![], |writer| writer.statements(depth - 1));
                self.write("end");
            }
            9 | 10 => self.repeat(depth),
            11 => {
                self.write("block (result f64 v128)");
                self.block(vec![F64, V128], |writer| {
                    writer.statements(depth - 1);
                    writer.expression(F64, depth - 1);
                    writer.expression(V128, depth - 1);
                });
                self.write("end local.set 7 local.set 5");
            }
            12 => {
                self.expression(F64, depth - 1);
                self.expression(V128, depth - 1);
                self.write("call $pair local.set 6 local.set 8");
            }
            _ => self.repeat_with_parameter(depth),
        }
    }

    fn block(&mut self, results: Vec<Ty>, write: impl FnOnce(&mut Self)) {
        self.labels.push(Some(results));
        write(self);
        self.labels.pop();
    }

    /// A branch to one of the blocks around.
    fn branch(&mut self, depth: u32) {
        let label = self.choice(self.labels.len());
        let Some(results) = self.labels[self.labels.len() - 1 - label].clone() else { return };
        for &ty in &results {
            self.expression(ty, depth.saturating_sub(1));
        }
        match self.choice(8) {
            0 => self.write(format!("br {label}")),
            1 if label + 1 == self.labels.len() => self.write("return"),
            2 => self.write(format!("i32.const 1 br_table {label} {label}")),
            _ => {
                self.expression(I32, depth.saturating_sub(1));
                self.write(format!("br_if {label}"));
                results.iter().rev().for_each(|ty| self.write(format!("local.set {}", ty.locals()[0])));
            }
        }
    }

    fn counted(&mut self, open: &str, write: impl FnOnce(&mut Self)) {
        let counter = COUNTERS + self.loops;
        let rounds = 1 + self.choice(3);
        self.write(format!("i32.const {rounds} local.set {counter} {open}"));
        self.labels.push(None);
        self.loops += 1;
        write(self);
        self.loops -= 1;
        self.labels.pop();
        self.write(format!("local.get {counter} i32.const 1 i32.sub local.tee {counter} br_if 0 end"));
    }

    fn repeat(&mut self, depth: u32) {
        if self.loops < NESTED_LOOPS {
            self.counted("loop", |writer| writer.statements(depth - 1));
        }
    }

    fn repeat_with_parameter(&mut self, depth: u32) {
        if self.loops < NESTED_LOOPS {
            self.expression(F64, depth - 1);
            self.counted("loop (param f64) (result f64)", |writer| {
                writer.expression(F64, depth - 1);
                let operator = writer.pick(&["f64.add", "f64.copysign", "local.get 1 select", "drop"]);
                let operator = operator.replace("local.get 1", "local.get 9");
                writer.write(operator);
            });
            self.write("local.set 6");
        }
    }

    /// Code that leaves a value of this type.
    fn expression(&mut self, ty: Ty, depth: u32) {
        let (local, name) = (self.pick(ty.locals()), ty.text());
        match self.choice(if depth == 0 { 3 } else { 10 }) {
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
