;; Grows its memory until somebody says no, and then goes on trying.
;; ends: memory
(module
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (loop $again (drop (memory.grow (i32.const 16))) (br $again))
    (i32.const 0)))
