;; Drops its shard as if it were an adapter.
;; ends: trap
(module
  (import "fedseal:policy/host@0.1.0" "shard" (func $shard (result i32)))
  (import "fedseal:policy/host@0.1.0" "[resource-drop]adapter" (func $drop-adapter (param i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (call $drop-adapter (call $shard))
    (i32.const 0)))
