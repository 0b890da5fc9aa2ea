;; Scales an adapter until its values overflow, and submits infinity.
;; ends: not-finite
(module
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "noise" (func $noise (param i32 f64 i32 i64 i32)))
  (import "fedseal:policy/host@0.1.0" "scale" (func $scale (param i32 f64 i32)))
  (import "fedseal:policy/host@0.1.0" "submit" (func $submit (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (call $noise (call $global) (f64.const 1) (i32.const 1) (i64.const 4) (i32.const 64))
    (call $scale (i32.load (i32.const 68)) (f64.const 1e30) (i32.const 64))
    (call $scale (i32.load (i32.const 68)) (f64.const 1e30) (i32.const 64))
    (call $submit (i32.load (i32.const 68)) (i32.const 1) (i32.const 128))
    (i32.const 0)))
