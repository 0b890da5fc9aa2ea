;; Reads more values than may cross in one call.
;; ends: call-bytes
;; limit: call_bytes = 100
(module
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "read-raw" (func $read-raw (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (call $read-raw (call $global) (i32.const 64))
    (i32.const 0)))
