;; Reads the tensors without end.
;; ends: host-work
;; limit: host_work_bytes = 1000000
(module
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "read-raw" (func $read-raw (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) 
    (i32.const 4096))
  (func (export "run") (result i32)
    (local $g i32)
    (local.set $g (call $global))
    (loop $again (call $read-raw (local.get $g) (i32.const 64)) (br $again))
    (i32.const 0)))
