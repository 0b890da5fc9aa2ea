;; Submits its shard as if it were an adapter.
;; ends: trap
(module
  (import "fedseal:policy/host@0.1.0" "shard" (func $shard (result i32)))
  (import "fedseal:policy/host@0.1.0" "submit" (func $submit (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (call $submit (call $shard) (i32.const 1) (i32.const 64))
    (i32.const 0)))
