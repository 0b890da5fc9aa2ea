;; A component that a node takes: `run` answers `ok` and hands nothing in.
(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "run") (result i32) (i32.const 0)))
  (core instance $i (instantiate $m))
  (alias core export $i "run" (core func $run))
  (alias core export $i "memory" (core memory $memory))
  (func $lifted (result (result (error string)))
    (canon lift (core func $run) (memory $memory)))
  (export "run" (func $lifted)))
