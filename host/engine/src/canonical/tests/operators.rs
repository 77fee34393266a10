//! That no instruction is forgotten.

use std::collections::BTreeSet;

use wasmparser::for_each_operator;

/// The text of the file that says what each instruction does.
const LIST: &str = include_str!("../operator.rs");

/// What moves floats and does not compute with them: all of their bits are seen, or come from elsewhere.
const MOVES: [&str; 10] = [
    "F32Load",
    "F64Load",
    "F32Store",
    "F64Store",
    "F32ReinterpretI32",
    "F64ReinterpretI64",
    "I32ReinterpretF32",
    "I64ReinterpretF64",
    "F32Copysign",
    "F64Copysign",
];

macro_rules! names {
    ($( @$proposal:ident $operator:ident $({ $($field:ident: $type:ty),* })? => $visit:ident ($($arity:tt)*) )*) => {
        [$( (stringify!($proposal), stringify!($operator)) ),*]
    };
}

#[test]
fn every_instruction_on_floats_is_listed() {
    let listed: BTreeSet<&str> = LIST.split(|c: char| !c.is_alphanumeric()).collect();
    let on_floats: Vec<_> = for_each_operator!(names)
        .into_iter()
        .filter(|(_, name)| ["F32", "F64"].iter().any(|float| name.contains(float)))
        .map(|(_, name)| name)
        .collect();
    assert!(on_floats.len() > 140, "{}", on_floats.len());
    let missing: Vec<_> = on_floats.iter().filter(|name| !listed.contains(*name) && !MOVES.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
