;; Trains with a learning rate that is not a number.
;; ends: no-submission
(module
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "shard" (func $shard (result i32)))
  (import "fedseal:policy/host@0.1.0" "train" (func $train (param i32 i32 i32 i32 f64 f64 i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (call $train (call $global) (call $shard) (i32.const 1) (i32.const 1) (f64.const nan) (f64.const 0) (i32.const 64))
    (i32.const 0)))
