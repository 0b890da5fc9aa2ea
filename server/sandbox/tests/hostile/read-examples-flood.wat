;; Reads its shard without end.
;; ends: host-work
;; limit: host_work_bytes = 100000
(module
  (import "fedseal:policy/host@0.1.0" "shard" (func $shard (result i32)))
  (import "fedseal:policy/host@0.1.0" "read-examples" (func $read-examples (param i32 i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) 
    (i32.const 4096))
  (func (export "run") (result i32)
    (local $d i32)
    (local.set $d (call $shard))
    (loop $again (call $read-examples (local.get $d) (i32.const 0) (i32.const -1) (i32.const 64)) (br $again))
    (i32.const 0)))
