;; Copies two megabytes over themselves again and again.
;; ends: fuel
(module
  (memory (export "memory") 64)
  (func (export "run") (result i32)
    (loop $again (memory.copy (i32.const 1) (i32.const 0) (i32.const 2097152)) (br $again))
    (i32.const 0)))
