;; Grows its memory in the start function.
;; ends: memory
(module
  (memory (export "memory") 1)
  (func $start (loop $again (drop (memory.grow (i32.const 16))) (br $again)))
  (start $start)
  (func (export "run") (result i32)
    (i32.const 0)))
