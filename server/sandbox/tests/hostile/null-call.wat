;; Calls through an empty place of a table.
;; ends: trap
(module
  (memory (export "memory") 1)
  (type $f (func))
  (table $t 8 funcref)
  (func (export "run") (result i32)
    (call_indirect $t (type $f) (i32.const 3))
    (i32.const 0)))
