;; Never comes back from its start function, before `run` is called.
;; ends: fuel
(module
  (memory (export "memory") 1)
  (func $start (loop $again (br $again)))
  (func (export "run") (result i32) (i32.const 0))
  (start $start))
