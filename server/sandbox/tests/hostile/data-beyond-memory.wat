;; A data segment that lies beyond the memory.
;; ends: trap
(module
  (memory (export "memory") 1)
  (data (i32.const 65530) "beyond the end")
  (func (export "run") (result i32)
    (i32.const 0)))
