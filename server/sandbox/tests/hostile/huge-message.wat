;; A log line that says it is 1 GiB long.
;; ends: trap
(module
  (import "fedseal:policy/host@0.1.0" "log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (call $log (i32.const 0) (i32.const 0x40000000))
    (i32.const 0)))
