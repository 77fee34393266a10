//! Small functions before and after.

use super::super::rewrite;

/// The text of a module with one function.
fn print(wasm: &[u8]) -> String {
    wasmprinter::print_bytes(wasm).unwrap()
}

fn module(function: &str) -> Vec<u8> {
    let text = format!(
        "(module (import \"\" \"f\" (func $f (param f64) (result f64))) (memory 1)
            (global $g (mut f64) (f64.const 0)) {function})"
    );
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// Asserts that the functions are the same once the first is rewritten. `@64`, `@-64`, `@32`, `@f32x4` and `@f64x2`
/// stand for the instructions that canonicalize, with the local that follows.
#[track_caller]
fn assert_becomes(before: &str, after: &str) {
    let mut expanded = after.to_owned();
    for (name, ty, nan, choose) in [
        ("@64", "f64.ge", "f64.const nan", "select"),
        ("@-64", "f64.ge", "f64.const -nan", "select"),
        ("@32", "f32.ge", "f32.const nan", "select"),
        ("@f32x4", "f32x4.eq", "v128.const f32x4 nan nan nan nan", "v128.bitselect"),
        ("@f64x2", "f64x2.eq", "v128.const f64x2 nan nan", "v128.bitselect"),
    ] {
        while let Some((front, back)) = expanded.split_once(&format!("({name} ")) {
            let (local, back) = back.split_once(')').unwrap();
            let instructions = format!("local.tee {local} {nan} local.get {local} local.get {local} {ty} {choose}");
            expanded = format!("{front}{instructions}{back}");
        }
    }
    let rewritten = rewrite(&module(before)).unwrap();
    let (found, expected) = (print(&rewritten), print(&module(&expanded)));
    assert!(found == expected, "{found}\nbut this was expected:\n{expected}");
}

#[track_caller]
fn assert_stays(function: &str) {
    assert_becomes(function, function);
}

#[test]
fn only_what_is_stored_is_canonicalized() {
    assert_becomes(
        "(func (param f64 f64)
            i32.const 0  local.get 0  local.get 1  f64.mul  f64.const 2  f64.div  f64.sqrt  f64.store)",
        "(func (param f64 f64) (local f64)
            i32.const 0  local.get 0  local.get 1  f64.mul  f64.const 2  f64.div  f64.sqrt  (@64 2)  f64.store)",
    );
}

#[test]
fn comparisons_and_conversions_see_no_bits() {
    assert_stays("(func (param f64) (result i32)  local.get 0  local.get 0  f64.add  f64.const 1  f64.lt)");
    assert_stays("(func (param f64) (result i32)  local.get 0  f64.sqrt  i32.trunc_f64_s)");
    assert_stays("(func (param f32) (result i64)  local.get 0  f32.sqrt  i64.trunc_sat_f32_u)");
    assert_stays("(func (param v128) (result v128)  local.get 0  f64x2.sqrt  local.get 0  f64x2.lt)");
    assert_stays("(func (param f64)  local.get 0  f64.sqrt  drop)");
}

#[test]
fn arguments_results_globals_and_reinterpreted_bits_are_seen() {
    assert_becomes(
        "(func (param f64) (result f64)  local.get 0  f64.sqrt  call $f  f64.sqrt)",
        "(func (param f64) (result f64) (local f64)  local.get 0  f64.sqrt  (@64 1)  call $f  f64.sqrt  (@64 1))",
    );
    assert_becomes(
        "(func (param f64)  local.get 0  f64.sqrt  global.set $g)",
        "(func (param f64) (local f64)  local.get 0  f64.sqrt  (@64 1)  global.set $g)",
    );
    assert_becomes(
        "(func (param f64) (result i64)  local.get 0  f64.sqrt  i64.reinterpret_f64)",
        "(func (param f64) (result i64) (local f64)  local.get 0  f64.sqrt  (@64 1)  i64.reinterpret_f64)",
    );
    assert_becomes(
        "(func (param f64) (result f64)  local.get 0  f64.sqrt  return)",
        "(func (param f64) (result f64) (local f64)  local.get 0  f64.sqrt  (@64 1)  return)",
    );
    assert_becomes(
        "(func (param f64) (result f64)  local.get 0  f64.sqrt  return_call $f)",
        "(func (param f64) (result f64) (local f64)  local.get 0  f64.sqrt  (@64 1)  return_call $f)",
    );
}

#[test]
fn operands_below_the_top_are_canonicalized_where_they_come_from() {
    assert_becomes(
        "(func (param f64) (result f64 i32)  local.get 0  f64.sqrt  i32.const 7)",
        "(func (param f64) (result f64 i32) (local f64)  local.get 0  f64.sqrt  (@64 1)  i32.const 7)",
    );
}

#[test]
fn each_type_has_one_added_local() {
    assert_becomes(
        "(func (param f32 f64 v128) (local i32)
            i32.const 0  local.get 0  f32.sqrt  f32.store
            i32.const 0  local.get 1  f64.sqrt  f64.store
            i32.const 0  local.get 2  f32x4.sqrt  v128.store
            i32.const 0  local.get 2  f64x2.sqrt  v128.store
            i32.const 0  local.get 1  f32.demote_f64  f32.store)",
        "(func (param f32 f64 v128) (local i32 f32 f64 v128)
            i32.const 0  local.get 0  f32.sqrt  (@32 4)  f32.store
            i32.const 0  local.get 1  f64.sqrt  (@64 5)  f64.store
            i32.const 0  local.get 2  f32x4.sqrt  (@f32x4 6)  v128.store
            i32.const 0  local.get 2  f64x2.sqrt  (@f64x2 6)  v128.store
            i32.const 0  local.get 1  f32.demote_f64  (@32 4)  f32.store)",
    );
}

#[test]
fn a_sum_is_canonicalized_behind_the_loop() {
    let looped = "loop  local.get 0  f64.load  local.get 1  f64.add  local.set 1  local.get 0  br_if 0  end";
    assert_becomes(
        &format!("(func (param i32) (local f64)  {looped}  i32.const 0  local.get 1  f64.store)"),
        &format!("(func (param i32) (local f64 f64)  {looped}  i32.const 0  local.get 1  (@64 2)  f64.store)"),
    );
}

#[test]
fn a_local_that_meets_clean_bits_is_canonicalized_before() {
    assert_becomes(
        "(func (param f64 i32) (result f64)
            local.get 1  if  local.get 0  f64.sqrt  local.set 0  end  local.get 0)",
        "(func (param f64 i32) (result f64) (local f64)
            local.get 1  if  local.get 0  f64.sqrt  (@64 2)  local.set 0  end  local.get 0)",
    );
    // A loop may bring what is stored behind its start.
    assert_becomes(
        "(func (param f64 i32)
            loop  i32.const 0  local.get 0  f64.store  local.get 0  f64.sqrt  local.set 0  local.get 1  br_if 0  end)",
        "(func (param f64 i32) (local f64)
            loop  i32.const 0  local.get 0  f64.store  local.get 0  f64.sqrt  (@64 2)  local.set 0  local.get 1
            br_if 0  end)",
    );
    // A parameter that is overwritten on all ways is fresh.
    assert_becomes(
        "(func (param f64 i32) (result f64)
            local.get 1  if  f64.const 0  local.set 0  else  local.get 0  f64.sqrt  local.set 0  end  local.get 0
            f64.sqrt)",
        "(func (param f64 i32) (result f64) (local f64)
            local.get 1  if  f64.const 0  local.set 0  else  local.get 0  f64.sqrt  local.set 0  end  local.get 0
            f64.sqrt  (@64 2))",
    );
}

#[test]
fn what_is_canonical_already_is_not_canonicalized_again() {
    assert_becomes(
        "(func (param f64 i32)
            local.get 0  f64.sqrt  local.tee 0  drop
            local.get 1  if  i32.const 0  f64.load  local.set 0  end
            i32.const 0  local.get 0  f64.store)",
        "(func (param f64 i32) (local f64)
            local.get 0  f64.sqrt  (@64 2)  local.tee 0  drop
            local.get 1  if  i32.const 0  f64.load  local.set 0  end
            i32.const 0  local.get 0  f64.store)",
    );
}

#[test]
fn results_of_blocks_stay_fresh_where_all_are() {
    assert_becomes(
        "(func (param f64 i32) (result f64)
            local.get 1  if (result f64)  local.get 0  f64.sqrt  else  f64.const 1  end)",
        "(func (param f64 i32) (result f64) (local f64)
            local.get 1  if (result f64)  local.get 0  f64.sqrt  else  f64.const 1  end  (@64 2))",
    );
    assert_becomes(
        "(func (param f64 i32) (result f64)
            block (result f64)  local.get 0  local.get 1  br_if 0  f64.sqrt  end  call $f)",
        "(func (param f64 i32) (result f64) (local f64)
            block (result f64)  local.get 0  local.get 1  br_if 0  f64.sqrt  (@64 2)  end  call $f)",
    );
    // What a loop begins with can't be canonicalized there.
    assert_becomes(
        "(func (param f64 i32) (result f64)
            local.get 0  f64.sqrt  loop (param f64) (result f64)  local.get 1  br_if 0  call $f  end)",
        "(func (param f64 i32) (result f64) (local f64)
            local.get 0  f64.sqrt  (@64 2)  loop (param f64) (result f64)  local.get 1  br_if 0  call $f  end)",
    );
}

#[test]
fn a_negated_nan_gets_the_other_sign() {
    assert_becomes(
        "(func (param f64) (result f64)  local.get 0  f64.sqrt  f64.neg)",
        "(func (param f64) (result f64) (local f64)  local.get 0  f64.sqrt  f64.neg  (@-64 1))",
    );
    assert_becomes(
        "(func (param f64) (result f64)  local.get 0  f64.sqrt  f64.neg  f64.abs)",
        "(func (param f64) (result f64) (local f64)  local.get 0  f64.sqrt  f64.neg  f64.abs  (@64 1))",
    );
    assert_becomes(
        "(func (param f64 i32) (result f64)
            local.get 0  f64.sqrt  f64.neg  local.get 0  f64.sqrt  local.get 1  select)",
        "(func (param f64 i32) (result f64) (local f64)
            local.get 0  f64.sqrt  f64.neg  (@-64 2)  local.get 0  f64.sqrt  (@64 2)  local.get 1  select)",
    );
}

#[test]
fn lanes_pass_the_nans_of_their_vector() {
    assert_becomes(
        "(func (param v128 f64) (result f64)
            local.get 0  f64x2.sqrt  local.get 1  f64.sqrt  f64x2.replace_lane 1  f64x2.extract_lane 0)",
        "(func (param v128 f64) (result f64) (local f64)
            local.get 0  f64x2.sqrt  local.get 1  f64.sqrt  f64x2.replace_lane 1  f64x2.extract_lane 0  (@64 2))",
    );
    assert_becomes(
        "(func (param f32) (result v128)  local.get 0  f32.sqrt  f32x4.splat)",
        "(func (param f32) (result v128) (local v128)  local.get 0  f32.sqrt  f32x4.splat  (@f32x4 1))",
    );
}

#[test]
fn a_vector_that_is_read_as_another_shape_is_seen() {
    assert_becomes(
        "(func (param v128) (result i32)  local.get 0  f64x2.sqrt  local.get 0  f32x4.lt  v128.any_true)",
        "(func (param v128) (result i32) (local v128)
            local.get 0  f64x2.sqrt  (@f64x2 1)  local.get 0  f32x4.lt  v128.any_true)",
    );
    assert_becomes(
        "(func (param v128) (result v128)  local.get 0  f64x2.sqrt  local.get 0  v128.and)",
        "(func (param v128) (result v128) (local v128)  local.get 0  f64x2.sqrt  (@f64x2 1)  local.get 0  v128.and)",
    );
}

#[test]
fn a_canonical_nan_is_as_good_as_a_number() {
    assert_stays("(func (result f64)  f64.const nan)");
    assert_stays("(func (result v128)  v128.const f32x4 nan 1 2 nan)");
    assert_becomes(
        "(func (param f64 i32) (result f64)  f64.const nan  local.get 0  f64.sqrt  local.get 1  select)",
        "(func (param f64 i32) (result f64) (local f64)  f64.const nan  local.get 0  f64.sqrt  local.get 1  select
            (@64 2))",
    );
    assert_becomes(
        "(func (param f64 i32) (result f64)  f64.const -nan  local.get 0  f64.sqrt  local.get 1  select)",
        "(func (param f64 i32) (result f64) (local f64)  f64.const -nan  local.get 0  f64.sqrt  (@64 2)
            local.get 1  select)",
    );
    assert_becomes(
        "(func (param v128 i32) (result v128)  v128.const f64x2 nan 0  local.get 0  f64x2.sqrt  local.get 1
            select (result v128))",
        "(func (param v128 i32) (result v128) (local v128)
            v128.const f64x2 nan 0  local.get 0  f64x2.sqrt  local.get 1  select (result v128)  (@f64x2 2))",
    );
}

#[test]
fn a_function_where_too_many_values_meet_is_read_coarsely() {
    // In time that is in proportion to its size, a sum is only told from other values of its local by all that is
    // stored there.
    let (locals, loops) = ("f64 ".repeat(20_000), "loop  end  ".repeat(2_000));
    let sum = "local.get 0  f64.sqrt  local.tee 0  drop";
    assert_becomes(
        &format!("(func (param f64) (local {locals}) {loops} {sum}  local.get 1  f64.sqrt  local.set 1)"),
        &format!(
            "(func (param f64) (local {locals} f64) {loops} local.get 0  f64.sqrt  (@64 20001)  local.tee 0  drop
            local.get 1  f64.sqrt  local.set 1)"
        ),
    );
}
