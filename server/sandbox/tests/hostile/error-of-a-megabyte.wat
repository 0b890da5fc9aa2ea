;; Returns an error of a megabyte; four hundred bytes of it are kept.
;; ends: guest-error
(module
  (memory (export "memory") 64)
  (func (export "run") (result i32)
    (memory.fill (i32.const 128) (i32.const 97) (i32.const 1048576))
    (i32.store8 (i32.const 64) (i32.const 1))
    (i32.store (i32.const 68) (i32.const 128))
    (i32.store (i32.const 72) (i32.const 1048576))
    (i32.const 64)))
