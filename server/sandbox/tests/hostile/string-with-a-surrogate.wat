;; Logs half of a surrogate pair, written as three bytes.
;; ends: trap
(module
  (import "fedseal:policy/host@0.1.0" "log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "\ed\a0\80")
  (func (export "run") (result i32)
    (call $log (i32.const 64) (i32.const 3))
    (i32.const 0)))
