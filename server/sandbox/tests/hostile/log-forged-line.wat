;; Logs a line end and what looks like the next record of the host.
;; ends: no-submission
(module
  (import "fedseal:policy/host@0.1.0" "log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "done\0a2026-01-01 verdict client-03 accept all\0d")
  (func (export "run") (result i32)
    (call $log (i32.const 64) (i32.const 44))
    (i32.const 0)))
