;; Its allocator never comes back, with more fuel than it can burn.
;; ends: guest-time
;; limit: fuel = 9000000000000000000
;; limit: guest_seconds = 1
(module
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "read-raw" (func $read-raw (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) 
    (loop $again (br $again)) (i32.const 0))
  (func (export "run") (result i32)
    (call $read-raw (call $global) (i32.const 64))
    (i32.const 0)))
