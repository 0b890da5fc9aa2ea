;; Asks WASI for random numbers without end.
;; ends: fuel
;; limit: fuel = 5000000
(component
  (import "wasi:random/random@0.2.0" (instance $random (export "get-random-u64" (func (result u64)))))
  (core func $f (canon lower (func $random "get-random-u64")))
  (core module $m
    (import "w" "f" (func $f (result i64)))
    (memory (export "memory") 1)
    (func (export "run") (result i32) (loop $again (drop (call $f)) (br $again)) unreachable))
  (core instance $i (instantiate $m (with "w" (instance (export "f" (func $f))))))
  (func (export "run") (result (result (error string)))
    (canon lift (core func $i "run") (memory $i "memory"))))
