;; Returns an error whose text lies outside its memory.
;; ends: trap
(module
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (i32.store8 (i32.const 64) (i32.const 1))
    (i32.store (i32.const 68) (i32.const 65000))
    (i32.store (i32.const 72) (i32.const 0x7fffffff))
    (i32.const 64)))
