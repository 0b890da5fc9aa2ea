;; Submits and returns an error.
;; ends: guest-error
(module
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "submit" (func $submit (param i32 i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 256) "\01\00\00\00\10\01\00\00\04\00\00\00")
  (data (i32.const 272) "oops")
  (func (export "run") (result i32)
    (call $submit (call $global) (i32.const 1) (i32.const 64))
    (i32.const 256)))
