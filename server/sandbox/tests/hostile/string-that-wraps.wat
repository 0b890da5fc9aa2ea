;; Logs a string whose end wraps round to the start of memory.
;; ends: trap
(module
  (import "fedseal:policy/host@0.1.0" "log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (call $log (i32.const 0xfffffff0) (i32.const 0x20))
    (i32.const 0)))
