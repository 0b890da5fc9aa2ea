;; Calls itself without end in the start function.
;; ends: stack-overflow
(module
  (memory (export "memory") 1)
  (func $start (call $start) (call $start))
  (start $start)
  (func (export "run") (result i32)
    (i32.const 0)))
