;; Lends the host eight thousand handles in one call.
;; ends: handles
(module
  (import "fedseal:policy/host@0.1.0" "shard" (func $shard (result i32)))
  (import "fedseal:policy/host@0.1.0" "concat" (func $concat (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (local $d i32) (local $i i32)
    (local.set $d (call $shard))
    (loop $fill
      (i32.store (local.get $i) (local.get $d))
      (local.set $i (i32.add (local.get $i) (i32.const 4)))
      (br_if $fill (i32.lt_u (local.get $i) (i32.const 32000))))
    (call $concat (i32.const 0) (i32.const 8000) (i32.const 40000))
    (i32.const 0)))
