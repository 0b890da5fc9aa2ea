;; A prompt of 40,000 bytes.
;; ends: no-submission
(module
  (import "fedseal:policy/host@0.1.0" "generate" (func $generate (param i32 i32 i32 i32 f64 i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (memory.fill (i32.const 100) (i32.const 97) (i32.const 40000))
    (i32.store (i32.const 32) (i32.const 100))
    (i32.store (i32.const 36) (i32.const 40000))
    (call $generate (i32.const 32) (i32.const 1) (i32.const 0) (i32.const 8) (f64.const 0) (i32.const 64))
    (i32.const 0)))
