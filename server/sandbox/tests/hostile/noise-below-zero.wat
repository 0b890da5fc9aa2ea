;; Noise of a negative deviation.
;; ends: no-submission
(module
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "noise" (func $noise (param i32 f64 i32 i64 i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (call $noise (call $global) (f64.const -1) (i32.const 0) (i64.const 0) (i32.const 64))
    (i32.const 0)))
