;; Converts a NaN to an integer.
;; ends: trap
(module
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (drop (i32.trunc_f64_s (f64.const nan)))
    (i32.const 0)))
