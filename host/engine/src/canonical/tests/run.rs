//! Runs modules as processors would whose NaNs have other bits.

use std::sync::LazyLock;

use wasmtime::{Config, Engine, Extern, Instance, Module, Store, Val};

use super::super::component;
use super::super::function::Findings;
use super::super::locals::Locals;
use super::super::operator::{Effect, effect};
use super::super::values::Mark;

static AS_IT_IS: LazyLock<Engine> = LazyLock::new(|| engine(false));
static CANONICAL: LazyLock<Engine> = LazyLock::new(|| engine(true));

fn engine(is_canonical: bool) -> Engine {
    let mut config = Config::new();
    config.cranelift_nan_canonicalization(is_canonical).relaxed_simd_deterministic(true);
    Engine::new(&config).unwrap()
}

/// What runs a module.
#[derive(Clone, Copy, Debug)]
pub(super) enum Processor {
    /// This machine.
    This,
    /// One whose NaNs are canonical, by Cranelift.
    Canonical,
    /// One whose NaNs have bits that depend on where they come from.
    Other(u64),
}

/// What can be seen of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The results' bits, or why there are none.
    pub(super) results: Result<Vec<u128>, String>,
    /// The bits of all exported globals.
    globals: Vec<u128>,
    /// All exported memories.
    memory: Vec<u8>,
}

/// Runs the function `run` of a module.
pub(super) fn run(processor: Processor, wasm: &[u8]) -> Outcome {
    let other;
    let (engine, wasm) = match processor {
        Processor::This => (&*AS_IT_IS, wasm),
        Processor::Canonical => (&*CANONICAL, wasm),
        Processor::Other(seed) => {
            other = with_other_nans(wasm, seed);
            (&*AS_IT_IS, &other[..])
        }
    };
    let module = Module::new(engine, wasm).unwrap_or_else(|error| panic!("{error:?}"));
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let function = instance.get_func(&mut store, "run").unwrap();
    let mut results = vec![Val::I32(0); function.ty(&store).results().len()];
    let returned = function.call(&mut store, &[], &mut results);
    let results =
        returned.map(|()| results.iter().map(bits).collect()).map_err(|error| format!("{:#}", error.root_cause()));
    let exports: Vec<_> = instance.exports(&mut store).map(|export| export.into_extern()).collect();
    let (mut globals, mut memory) = (Vec::new(), Vec::new());
    for export in exports {
        match export {
            Extern::Global(global) => globals.push(bits(&global.get(&mut store))),
            Extern::Memory(exported) => memory.extend_from_slice(exported.data(&store)),
            _ => {}
        }
    }
    Outcome { results, globals, memory }
}

fn bits(value: &Val) -> u128 {
    match *value {
        Val::I32(value) => value as u32 as u128,
        Val::I64(value) => value as u64 as u128,
        Val::F32(bits) => bits.into(),
        Val::F64(bits) => bits.into(),
        Val::V128(value) => value.as_u128(),
        _ => panic!("{value:?}"),
    }
}

/// The same module, where each NaN that arithmetic returns gets bits by where it comes from.
fn with_other_nans(wasm: &[u8], seed: u64) -> Vec<u8> {
    let rewritten = component::rewrite(wasm, |_, ty, body| {
        let mut reader = body.get_operators_reader()?;
        let start = reader.original_position();
        let mut marks = Vec::new();
        while !reader.eof() {
            let operator = reader.read()?;
            let at = (reader.original_position() - start) as u32;
            if let Effect::Arithmetic { result: shape, .. } = effect(&operator) {
                let noise = (u64::from(at) ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                // A quiet NaN with a payload and a sign. Those of 32 bits are the lower half of it.
                let bits = 0x7ff8_0000_7fc0_0000 | noise;
                marks.push(Mark { at, shape, bits: if shape.is_of_f32() { bits & 0xffff_ffff } else { bits } });
            }
        }
        Ok(Findings { marks, locals: Locals::new(ty, body)?.count() })
    });
    rewritten.unwrap()
}
