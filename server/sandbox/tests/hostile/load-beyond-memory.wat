;; Reads past the end of its memory, at the largest offset.
;; ends: trap
(module
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (drop (i64.load offset=4294967288 (i32.const -1)))
    (i32.const 0)))
