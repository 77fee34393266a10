//! Scorers as text, for what no compiler makes.

/// What a scorer does. Each part is the text form of WebAssembly.
#[derive(Clone, Copy, Default)]
pub(crate) struct Parts<'a> {
    /// The line that `$log` logs, with the escapes of the text form.
    pub(crate) line: &'a str,
    /// The instructions of the start function, which has a local `$n`.
    pub(crate) start: &'a str,
    /// The instructions of `score`, before each row gets the score 0.
    pub(crate) score: &'a str,
    /// How many tables there are that `$grow0`, `$grow1` and so on grow by 40,000 elements, or trap.
    pub(crate) tables: usize,
}

/// A scorer without fields.
pub(crate) fn scorer(Parts { line, start, score, tables }: Parts<'_>) -> Vec<u8> {
    // The batch is lowered to 2048, where a list without columns takes no room.
    // Of a line with escapes, the bytes that they stand for are counted.
    let bytes = line.len() - 2 * line.matches('\\').count();
    let (mut modules, mut imports, mut given) = (String::new(), String::new(), String::new());
    for table in 0..tables {
        modules += &format!(
            "(core module $t{table} (table 0 funcref) (func (export \"grow\")
              (if (i32.eq (table.grow (ref.null func) (i32.const 40000)) (i32.const -1)) (then unreachable))))
            (core instance $t{table} (instantiate $t{table}))"
        );
        imports += &format!("(import \"t{table}\" \"grow\" (func $grow{table}))");
        given += &format!("(with \"t{table}\" (instance $t{table}))");
    }
    let text = format!(
        r#"(component
          (import "paceline:plugin/log@0.2.0" (instance $log
            (type $l (enum "debug" "info" "warn" "error"))
            (export "level" (type $level (eq $l)))
            (export "write" (func (param "level" $level) (param "message" string)))))
          (type $packed0 (record (field "ends" (list u32)) (field "bytes" (list u8))))
          (export $packed "packed" (type $packed0))
          (type $column0 (variant (case "booleans" (list bool)) (case "integers" (list s64))
            (case "numbers" (list f64)) (case "texts" $packed) (case "blobs" $packed)))
          (export $column "column" (type $column0))
          (type $batch0 (record (field "rows" u32) (field "columns" (list $column))))
          (export $batch "batch" (type $batch0))
          (type $kind0 (enum "boolean" "integer" "number" "text" "blob"))
          (export $kind "kind" (type $kind0))
          (type $value0 (variant (case "boolean" bool) (case "integer" s64) (case "number" f64) (case "text" string)))
          (export $value "value" (type $value0))
          (type $field0 (record (field "path" string) (field "kind" $kind) (field "default" (option $value))))
          (export $field "field" (type $field0))
          (core module $memory (memory (export "memory") 2) (data (i32.const 0) "{line}"))
          (core instance $m (instantiate $memory))
          (core func $write (canon lower (func $log "write") (memory $m "memory")))
          {modules}
          (core module $code {imports}
            (import "m" "memory" (memory 1))
            (import "h" "write" (func $write (param i32 i32 i32)))
            (func $log (call $write (i32.const 1) (i32.const 0) (i32.const {bytes})))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 2048))
            (func (export "describe") (result i32) (i64.store (i32.const 1024) (i64.const 0))
              (i64.store (i32.const 1032) (i64.const 0)) (i32.const 1024))
            (func (export "score") (param $rows i32) (param i32 i32) (result i32) {score}
              (i32.store (i32.const 1024) (i32.const 0)) (i32.store (i32.const 1028) (i32.const 65536))
              (i32.store (i32.const 1032) (local.get $rows)) (i32.const 1024))
            (func $start (local $n i32) {start})
            (start $start))
          (core instance $i (instantiate $code {given} (with "m" (instance $m))
            (with "h" (instance (export "write" (func $write))))))
          (func $describe (result (result (list $field) (error string)))
            (canon lift (core func $i "describe") (memory $m "memory")))
          (func $score (param "batch" $batch) (result (result (list f64) (error string)))
            (canon lift (core func $i "score") (memory $m "memory") (realloc (func $i "realloc"))))
          (instance $e (export "describe" (func $describe)) (export "score" (func $score)))
          (export "paceline:plugin/scoring@0.2.0" (instance $e)))"#
    );
    wat::parse_str(text).expect("the parts are well-formed")
}
