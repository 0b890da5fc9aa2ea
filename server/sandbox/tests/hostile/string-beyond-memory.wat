;; Logs a string that begins inside its memory and ends outside.
;; ends: trap
(module
  (import "fedseal:policy/host@0.1.0" "log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (call $log (i32.const 65530) (i32.const 100))
    (i32.const 0)))
