;; Takes parts of its shard and drops them, to make the lineage long.
;; ends: host-memory
;; limit: host_calls = 1000000
;; limit: fuel = 9000000000000000000
(module
  (import "fedseal:policy/host@0.1.0" "shard" (func $shard (result i32)))
  (import "fedseal:policy/host@0.1.0" "take" (func $take (param i32 i32 i32 i32)))
  (import "fedseal:policy/host@0.1.0" "[resource-drop]dataset" (func $drop-dataset (param i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (local $d i32)
    (local.set $d (call $shard))
    (loop $again (call $take (local.get $d) (i32.const 0) (i32.const 1) (i32.const 64)) (call $drop-dataset (i32.load (i32.const 68))) (br $again))
    (i32.const 0)))
