;; Logs the first two bytes of a three-byte character.
;; ends: trap
(module
  (import "fedseal:policy/host@0.1.0" "log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "\e2\82\ac")
  (func (export "run") (result i32)
    (call $log (i32.const 64) (i32.const 2))
    (i32.const 0)))
