;; Fills all of its memory and dies, for the next guest in its slot to find.
;; ends: trap
(module
  (memory (export "memory") 32)
  (func (export "run") (result i32)
    (memory.fill (i32.const 0) (i32.const 255) (i32.const 2097152))
    unreachable))
