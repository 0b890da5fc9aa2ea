;; Joins a dataset of nothing with itself 300,000 times in one call.
;; ends: host-memory
;; limit: handles = 200000
;; limit: call_bytes = 16777216
(module
  (import "fedseal:policy/host@0.1.0" "examples" (func $examples (param i32 i32 i32)))
  (import "fedseal:policy/host@0.1.0" "concat" (func $concat (param i32 i32 i32)))
  (import "fedseal:policy/host@0.1.0" "[resource-drop]dataset" (func $drop-dataset (param i32)))
  (memory (export "memory") 20)
  (func (export "run") (result i32)
    (local $i i32)
    (call $examples (i32.const 64) (i32.const 0) (i32.const 32))
    (loop $fill
      (i32.store (i32.add (i32.const 65536) (i32.shl (local.get $i) (i32.const 2))) (i32.load (i32.const 36)))
      (br_if $fill (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 300000))))
    (call $concat (i32.const 65536) (i32.const 300000) (i32.const 32))
    (i32.const 0)))
