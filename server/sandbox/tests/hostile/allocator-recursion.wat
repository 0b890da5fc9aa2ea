;; Its allocator calls itself without end.
;; ends: stack-overflow
(module
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "read-raw" (func $read-raw (param i32 i32)))
  (memory (export "memory") 1)
  (func $deep (result i32) (i32.add (call $deep) (call $deep)))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) 
    (call $deep))
  (func (export "run") (result i32)
    (call $read-raw (call $global) (i32.const 64))
    (i32.const 0)))
