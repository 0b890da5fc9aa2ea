;; Executes `unreachable`, as a panic does.
;; ends: trap
(module
  (memory (export "memory") 1)
  (func (export "run") (result i32) unreachable))
