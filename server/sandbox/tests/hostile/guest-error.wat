;; Returns an error whose text has control characters and a direction mark.
;; ends: guest-error
(module
  (memory (export "memory") 1)
  (data (i32.const 0) "\01\00\00\00\20\00\00\00\0d\00\00\00")
  (data (i32.const 32) "no\1b[2J\nupd\e2\80\ae")
  (func (export "run") (result i32) (i32.const 0)))
