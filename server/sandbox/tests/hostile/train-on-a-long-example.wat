;; Trains on an example of a mebibyte and a bit, which nobody can stop while it is encoded, and traps if
;; that is not refused.
;; ends: no-submission
(module
  (import "fedseal:policy/host@0.1.0" "examples" (func $examples (param i32 i32 i32)))
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "train" (func $train (param i32 i32 i32 i32 f64 f64 i32)))
  (memory (export "memory") 20)
  (func (export "run") (result i32)
    (memory.fill (i32.const 131072) (i32.const 97) (i32.const 1048577))
    (i32.store (i32.const 64) (i32.const 131072))
    (i32.store (i32.const 68) (i32.const 1048577))
    (call $examples (i32.const 64) (i32.const 1) (i32.const 32))
    (call $train (call $global) (i32.load (i32.const 36)) (i32.const 4) (i32.const 8) (f64.const 0.1) (f64.const 0) (i32.const 48))
    (if (i32.eqz (i32.load8_u (i32.const 48))) (then (unreachable)))
    (i32.const 0)))
