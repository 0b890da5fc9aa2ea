;; Writes an adapter of three values, and ignores that it got none.
;; ends: no-submission
(module
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "write-raw" (func $write (param i32 i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (call $write (call $global) (i32.const 64) (i32.const 3) (i32.const 128))
    (i32.const 0)))
