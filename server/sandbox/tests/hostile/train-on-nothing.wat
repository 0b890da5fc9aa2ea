;; Trains on the part of its shard that lies behind its end.
;; ends: no-submission
(module
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "shard" (func $shard (result i32)))
  (import "fedseal:policy/host@0.1.0" "take" (func $take (param i32 i32 i32 i32)))
  (import "fedseal:policy/host@0.1.0" "train" (func $train (param i32 i32 i32 i32 f64 f64 i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (call $take (call $shard) (i32.const 4000000000) (i32.const 5) (i32.const 128))
    (call $train (call $global) (i32.load (i32.const 132)) (i32.const 1) (i32.const 1) (f64.const 0.1) (f64.const 0) (i32.const 64))
    (i32.const 0)))
