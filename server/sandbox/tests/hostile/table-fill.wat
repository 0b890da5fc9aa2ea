;; Fills a table again and again.
;; ends: fuel
(module
  (memory (export "memory") 1)
  (table $t 9000 funcref)
  (func (export "run") (result i32)
    (loop $again (table.fill $t (i32.const 0) (ref.null func) (i32.const 9000)) (br $again))
    (i32.const 0)))
