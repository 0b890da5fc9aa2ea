;; Asks for random numbers without end.
;; ends: host-calls
(module
  (import "fedseal:policy/host@0.1.0" "random-u64" (func $random-u64 (result i64)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (loop $again (drop (call $random-u64)) (br $again))
    (i32.const 0)))
