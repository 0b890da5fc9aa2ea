;; A list whose number of elements times their size does not fit 32 bits.
;; ends: trap
(module
  (import "fedseal:policy/host@0.1.0" "examples" (func $examples (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (call $examples (i32.const 0) (i32.const 0x10000001) (i32.const 64))
    (i32.const 0)))
