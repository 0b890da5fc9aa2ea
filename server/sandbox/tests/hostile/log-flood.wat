;; Logs 1,000 bytes again and again.
;; ends: log-limit
(module
  (import "fedseal:policy/host@0.1.0" "log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (memory.fill (i32.const 64) (i32.const 97) (i32.const 1000))
    (loop $again (call $log (i32.const 64) (i32.const 1000)) (br $again))
    (i32.const 0)))
