;; Divides by zero.
;; ends: trap
(module
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (drop (i32.div_u (i32.const 1) (i32.const 0)))
    (i32.const 0)))
