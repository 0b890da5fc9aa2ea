;; An element segment that lies beyond the table.
;; ends: trap
(module
  (memory (export "memory") 1)
  (table 1 funcref)
  (func $f)
  (elem (i32.const 1) $f)
  (func (export "run") (result i32)
    (i32.const 0)))
