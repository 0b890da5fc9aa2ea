;; Fills four megabytes again and again: one instruction, much work.
;; ends: fuel
(module
  (memory (export "memory") 64)
  (func (export "run") (result i32)
    (loop $again (memory.fill (i32.const 0) (i32.const 7) (i32.const 4194304)) (br $again))
    (i32.const 0)))
