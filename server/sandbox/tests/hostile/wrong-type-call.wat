;; Calls a function through a table as if it were of another type.
;; ends: trap
(module
  (memory (export "memory") 1)
  (type $f (func (param i64) (result i64)))
  (func $g)
  (table $t 1 funcref)
  (elem (i32.const 0) $g)
  (func (export "run") (result i32)
    (drop (call_indirect $t (type $f) (i64.const 1) (i32.const 0)))
    (i32.const 0)))
