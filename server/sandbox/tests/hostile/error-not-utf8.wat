;; Returns an error that is no UTF-8.
;; ends: trap
(module
  (memory (export "memory") 1)
  (data (i32.const 64) "\01\00\00\00\80\00\00\00\02\00\00\00")
  (data (i32.const 128) "\ff\fe")
  (func (export "run") (result i32)
    (i32.const 64)))
