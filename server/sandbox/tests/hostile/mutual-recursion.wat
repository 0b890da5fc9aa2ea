;; Two functions call each other through a table without end.
;; ends: stack-overflow
(module
  (memory (export "memory") 1)
  (type $f (func))
  (table $t 2 funcref)
  (elem (i32.const 0) $a $b)
  (func $a (call_indirect $t (type $f) (i32.const 1)) (call_indirect $t (type $f) (i32.const 1)))
  (func $b (call_indirect $t (type $f) (i32.const 0)) (call_indirect $t (type $f) (i32.const 0)))
  (func (export "run") (result i32)
    (call_indirect $t (type $f) (i32.const 0))
    (i32.const 0)))
