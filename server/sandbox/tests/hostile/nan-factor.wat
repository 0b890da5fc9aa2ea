;; Scales by infinity, ignores the refusal, and submits the handle that it did not get.
;; ends: no-submission
(module
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "scale" (func $scale (param i32 f64 i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (call $scale (call $global) (f64.const inf) (i32.const 64))
    (i32.const 0)))
