;; Leaves by exit, saying that all went well.
;; ends: guest-error
(component
  (import "wasi:cli/exit@0.2.0" (instance $exit (export "exit" (func (param "status" (result))))))
  (core func $f (canon lower (func $exit "exit")))
  (core module $m
    (import "w" "f" (func $f (param i32)))
    (memory (export "memory") 1)
    (func (export "run") (result i32) (call $f (i32.const 0)) unreachable))
  (core instance $i (instantiate $m (with "w" (instance (export "f" (func $f))))))
  (func (export "run") (result (result (error string)))
    (canon lift (core func $i "run") (memory $i "memory"))))
