;; Logs bytes that are no UTF-8.
;; ends: trap
(module
  (import "fedseal:policy/host@0.1.0" "log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "a\ffb")
  (func (export "run") (result i32)
    (call $log (i32.const 64) (i32.const 3))
    (i32.const 0)))
