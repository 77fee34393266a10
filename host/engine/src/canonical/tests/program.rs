//! Makes up programs that compute with floats: valid modules, from any bytes. Each has a function `run` that ends,
//! takes nothing and returns a value of each type of float, and exports its memory and its globals.

mod expressions;

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
            (func $pair (param f64 v128) (result v128 f64)  local.get 1  local.get 1  f64x2.sqrt  f64x2.pmin
            local.get 0  f64.neg)
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
        match self.choice(16) {
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
}
