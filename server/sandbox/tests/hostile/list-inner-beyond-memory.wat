;; A list of one example whose prompt lies outside memory.
;; ends: trap
(module
  (import "fedseal:policy/host@0.1.0" "examples" (func $examples (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (i32.store (i32.const 64) (i32.const 0x7fffffff))
    (i32.store (i32.const 68) (i32.const 8))
    (call $examples (i32.const 64) (i32.const 1) (i32.const 128))
    (i32.const 0)))
