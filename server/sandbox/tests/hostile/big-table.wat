;; Starts with a table of a hundred million elements.
;; ends: tables
(module
  (memory (export "memory") 1)
  (table 100000000 funcref)
  (func (export "run") (result i32) (i32.const 0)))
