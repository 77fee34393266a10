//! Bits that have to stay as they are, for they may be no float at all.

use super::super::rewrite;
use super::run::{Processor, run};

/// Bits of floats that are NaNs: quiet and signalling ones, of both signs.
const BITS: [u64; 4] = [0x7ff8_0000_dead_beef, 0xfff8_dead_beef_0000, 0x7ff0_0000_0000_0001, 0xfff4_0000_0000_0123];

/// Runs a function that takes a 64-bit float as an integer and returns one, and asserts that the bits stay.
#[track_caller]
fn assert_kept(body: &str) {
    for bits in BITS {
        let text = format!(
            "(module (memory 1)
                (func $same (param f64) (result f64)  local.get 0)
                (func $kept (param f64 i32) (result f64) (local f64) {body})
                (func (export \"run\") (result i64)
                    f64.const {}  i32.const 1  call $kept  i64.reinterpret_f64))",
            f64_text(bits)
        );
        let wasm = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"));
        let outcome = run(Processor::This, &rewrite(&wasm).unwrap());
        assert_eq!(outcome.results, Ok(vec![u128::from(bits)]), "{body}");
    }
}

/// A NaN in WebAssembly's text.
fn f64_text(bits: u64) -> String {
    let sign = if bits >> 63 == 1 { "-" } else { "" };
    format!("{sign}nan:{:#x}", bits & 0xf_ffff_ffff_ffff)
}

#[test]
fn clean_bits_move_through_locals_blocks_calls_and_memory() {
    assert_kept("local.get 0  local.tee 2  local.set 0  local.get 2");
    assert_kept("block (result f64)  local.get 0  local.get 1  br_if 0  end");
    assert_kept("local.get 1  if (result f64)  local.get 0  else  f64.const 1  end");
    assert_kept("local.get 0  call $same");
    assert_kept("i32.const 8  local.get 0  f64.store  i32.const 8  f64.load");
    assert_kept("local.get 0  f64.neg  f64.neg  f64.const 1  f64.copysign  local.get 0  f64.copysign");
    assert_kept("local.get 0  f64x2.splat  i32.const 0  i32x4.splat  v128.or  f64x2.extract_lane 1");
}

#[test]
fn clean_bits_stay_where_they_meet_those_of_arithmetic() {
    assert_kept("local.get 0  local.get 0  f64.sqrt  local.get 1  select");
    assert_kept("local.get 0  f64.sqrt  local.set 2  local.get 1  if  local.get 0  local.set 2  end  local.get 2");
    assert_kept("local.get 1  if (result f64)  local.get 0  else  local.get 0  f64.sqrt  end");
    assert_kept("local.get 0  f64.sqrt  f64x2.splat  local.get 0  f64x2.replace_lane 1  f64x2.extract_lane 1");
    assert_kept(
        "local.get 0  loop (param f64) (result f64)  local.get 1  i32.eqz  if (param f64) (result f64)  f64.sqrt
            br 1  end  end",
    );
}
