;; Joins a dataset with itself, and the result with itself, and so on.
;; ends: host-memory
;; limit: host_bytes = 10000000
(module
  (import "fedseal:policy/host@0.1.0" "shard" (func $shard (result i32)))
  (import "fedseal:policy/host@0.1.0" "concat" (func $concat (param i32 i32 i32)))
  (import "fedseal:policy/host@0.1.0" "[resource-drop]dataset" (func $drop-dataset (param i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (local $d i32)
    (local.set $d (call $shard))
    (loop $again
      (i32.store (i32.const 32) (local.get $d)) (i32.store (i32.const 36) (local.get $d))
      (call $concat (i32.const 32) (i32.const 2) (i32.const 64))
      (call $drop-dataset (local.get $d))
      (local.set $d (i32.load (i32.const 68))) (br $again))
    (i32.const 0)))
