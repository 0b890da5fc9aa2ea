;; Grows a table without end.
;; ends: tables
(module
  (memory (export "memory") 1)
  (table $t 1 funcref)
  (func (export "run") (result i32)
    (loop $again (drop (table.grow $t (ref.null func) (i32.const 1000))) (br $again))
    (i32.const 0)))
