;; A list at an odd address.
;; ends: trap
(module
  (import "fedseal:policy/host@0.1.0" "examples" (func $examples (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (call $examples (i32.const 65) (i32.const 1) (i32.const 128))
    (i32.const 0)))
