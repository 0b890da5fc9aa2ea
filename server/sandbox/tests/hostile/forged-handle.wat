;; Submits a handle that nobody gave it.
;; ends: trap
(module
  (import "fedseal:policy/host@0.1.0" "submit" (func $submit (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (call $submit (i32.const 77) (i32.const 1) (i32.const 64))
    (i32.const 0)))
