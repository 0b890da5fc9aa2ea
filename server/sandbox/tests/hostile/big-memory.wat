;; Starts with 4 GiB of memory.
;; ends: memory
(module
  (memory (export "memory") 65536)
  (func (export "run") (result i32) (i32.const 0)))
