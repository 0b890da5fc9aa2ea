;; A log line that would clear a terminal and write over its neighbours, then ends well.
;; ends: no-submission
(module
  (import "fedseal:policy/host@0.1.0" "log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 32) "a\1b[2J\0d\08b\nc")
  (func (export "run") (result i32)
    (call $log (i32.const 32) (i32.const 10))
    (i32.const 0)))
