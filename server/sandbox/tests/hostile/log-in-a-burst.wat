;; Logs 100 bytes again and again, faster than people could read: within all that it may log, and
;; beyond what it may in a second.
;; ends: log-rate
;; limit: log_second_bytes = 4000
(module
  (import "fedseal:policy/host@0.1.0" "log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (memory.fill (i32.const 64) (i32.const 97) (i32.const 100))
    (loop $again (call $log (i32.const 64) (i32.const 100)) (br $again))
    (i32.const 0)))
