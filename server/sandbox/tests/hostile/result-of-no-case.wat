;; Returns a result that is neither ok nor an error.
;; ends: trap
(module
  (memory (export "memory") 1)
  (data (i32.const 64) "\07")
  (func (export "run") (result i32)
    (i32.const 64)))
