;; Asks for the context to be written at an odd address.
;; ends: trap
(module
  (import "fedseal:policy/host@0.1.0" "context" (func $context (param i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (call $context (i32.const 1001))
    (i32.const 0)))
