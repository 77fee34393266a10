//! Aggregators whose outputs are texts: ones that are too long, and ones that are too long together.

use std::fmt::Write;

use paceline_engine::{CONTRACT_VERSION, ColumnBuf, Engine, Fault, Finished, Limits, PackedBuf, Settings, limits};

use super::{ENGINE, all_rows, engine};

/// The outputs of these aggregators, by name.
const OUTPUTS: [&str; 3] = ["a", "b", "c"];

/// Where the module keeps what `describe` returns, and what `finish` returns.
const DESCRIBED: usize = 1024;
const FINISHED: usize = 2048;

/// Where the module keeps the names of the outputs, and the ends of a column with one row.
const NAMES: usize = 3072;
const ENDS: usize = 3584;

/// Where arguments are written to, and where there are zeros, which are a text.
const ARGUMENTS: usize = 4096;
const ZEROS: usize = 1 << 16;

/// Words in memory, as the text format writes bytes.
fn words(words: impl IntoIterator<Item = usize>) -> String {
    words.into_iter().flat_map(|word| (word as u32).to_le_bytes()).fold(String::new(), |mut text, byte| {
        write!(text, "\\{byte:02x}").unwrap();
        text
    })
}

/// An aggregator of which `finish` is called for one group at a time, because it traps otherwise. Each output of a group is
/// a text of so many bytes.
fn wordy_aggregator(bytes: usize) -> Vec<u8> {
    // A kind of 3 is a text, and so is a column of the case 3.
    let outputs = words((0..OUTPUTS.len()).flat_map(|at| [NAMES + at, 1, 3]));
    let shape = words([0, 0, 0, DESCRIBED + 64, OUTPUTS.len(), NAMES, 1]);
    let finished = words([0, FINISHED + 64, OUTPUTS.len()]);
    let columns = words(OUTPUTS.iter().flat_map(|_| [3, ENDS, 1, ZEROS, bytes]));
    let (names, ends) = (OUTPUTS.concat(), words([bytes]));
    let (shape_at, finished_at) = (DESCRIBED + 64, FINISHED + 64);
    let text = format!(
        r#"(component
          (core module $module
            (memory (export "memory") 16)
            (data (i32.const {DESCRIBED}) "{shape}") (data (i32.const {shape_at}) "{outputs}")
            (data (i32.const {FINISHED}) "{finished}") (data (i32.const {finished_at}) "{columns}")
            (data (i32.const {NAMES}) "{names}") (data (i32.const {ENDS}) "{ends}")
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const {ARGUMENTS}))
            (func (export "describe") (result i32) (i32.const {DESCRIBED}))
            (func (export "fold") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) unreachable)
            (func (export "merge") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) unreachable)
            (func (export "finish") (param $ends i32) (param $groups i32) (param i32 i32) (result i32)
              (if (i32.ne (local.get $groups) (i32.const 1)) (then unreachable))
              (i32.const {FINISHED})))
          (core instance $core (instantiate $module))
          (alias core export $core "memory" (core memory $memory))
          (alias core export $core "realloc" (core func $realloc))
          (type $packed-type (record (field "ends" (list u32)) (field "bytes" (list u8))))
          (export $packed "packed" (type $packed-type))
          (type $column-type (variant (case "booleans" (list bool)) (case "integers" (list s64))
            (case "numbers" (list f64)) (case "texts" $packed) (case "blobs" $packed)))
          (export $column "column" (type $column-type))
          (type $batch-type (record (field "rows" u32) (field "columns" (list $column))))
          (export $batch "batch" (type $batch-type))
          (type $kind-type (enum "boolean" "integer" "number" "text" "blob"))
          (export $kind "kind" (type $kind-type))
          (type $value-type (variant (case "boolean" bool) (case "integer" s64) (case "number" f64)
            (case "text" string)))
          (export $value "value" (type $value-type))
          (type $field-type (record (field "path" string) (field "kind" $kind) (field "default" (option $value))))
          (export $field "field" (type $field-type))
          (type $output-type (record (field "name" string) (field "kind" $kind)))
          (export $output "output" (type $output-type))
          (type $shape-type (record (field "fields" (list $field)) (field "outputs" (list $output))
            (field "state-format" string)))
          (export $shape "shape" (type $shape-type))
          (func $describe (result (result $shape (error string)))
            (canon lift (core func $core "describe") (memory $memory) (realloc (func $realloc))))
          (func $fold (param "batch" $batch) (param "scores" (list f64)) (param "groups" (list u32))
            (param "states" $packed) (result (result $packed (error string)))
            (canon lift (core func $core "fold") (memory $memory) (realloc (func $realloc))))
          (func $merge (param "left" $packed) (param "right" $packed) (result (result $packed (error string)))
            (canon lift (core func $core "merge") (memory $memory) (realloc (func $realloc))))
          (func $finish (param "states" $packed) (result (result (list $column) (error string)))
            (canon lift (core func $core "finish") (memory $memory) (realloc (func $realloc))))
          (instance $aggregation (export "describe" (func $describe)) (export "fold" (func $fold))
            (export "merge" (func $merge)) (export "finish" (func $finish)))
          (export "paceline:plugin/aggregation@{CONTRACT_VERSION}" (instance $aggregation)))"#
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn finish(engine: &Engine, bytes: usize, groups: usize) -> Finished {
    let aggregator = engine.load(&wordy_aggregator(bytes)).unwrap().aggregator(&Settings::new()).unwrap();
    let states: PackedBuf = (0..groups).map(|_| &[7][..]).collect();
    aggregator.session().finish(states.as_packed()).unwrap()
}

fn text_bytes(finished: &Finished) -> usize {
    let bytes = finished.columns.iter().map(|column| match column {
        ColumnBuf::Texts(texts) => texts.bytes.len(),
        other => panic!("a column of kind {}", other.kind()),
    });
    bytes.sum()
}

#[test]
fn returned_bytes_limit_holds_for_the_answers_for_a_batch_together() {
    let limits = Limits { returned_bytes: 1 << 20, ..Limits::default() };
    let engine = engine(limits);
    let finished = finish(&engine, 300 << 10, 50);
    // Ten answers, each as long as one may be. A group has 900 KiB.
    let most = 10 << 20;
    assert_eq!(text_bytes(&finished), 11 * (900 << 10));
    let failed: Vec<_> = (11..50).map(|group| (group, Fault::TooManyBytes(most))).collect();
    assert_eq!(finished.failed, failed);
    assert!(finished.columns.iter().all(|column| column.as_column().len() == 50));
}

#[test]
fn output_bytes_limit_violated_fails_its_group() {
    let finished = finish(&ENGINE, limits::OUTPUT_BYTES, 4);
    assert_eq!((finished.failed.len(), text_bytes(&finished)), (0, 4 * OUTPUTS.len() * limits::OUTPUT_BYTES));
    let finished = finish(&ENGINE, limits::OUTPUT_BYTES + 1, 4);
    let wrong = "the column of the output `a` has a value of 358401 bytes; 358400 are allowed";
    assert_eq!((text_bytes(&finished), finished.failed), (0, all_rows(4, &Fault::InvalidResult(wrong.to_owned()))));
}
