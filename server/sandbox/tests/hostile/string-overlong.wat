;; Logs a zero byte in two: an overlong encoding that hides it from a filter.
;; ends: trap
(module
  (import "fedseal:policy/host@0.1.0" "log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "\c0\80")
  (func (export "run") (result i32)
    (call $log (i32.const 64) (i32.const 2))
    (i32.const 0)))
