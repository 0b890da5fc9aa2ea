;; Honest enough to end well: submits the global adapter scaled by a half.
;; ends: update
(module
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "scale" (func $scale (param i32 f64 i32)))
  (import "fedseal:policy/host@0.1.0" "submit" (func $submit (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (call $scale (call $global) (f64.const 0.5) (i32.const 64))
    (call $submit (i32.load (i32.const 68)) (i32.const 1) (i32.const 96))
    (i32.const 0)))
